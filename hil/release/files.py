"""Release files: what a release qualification is held against, checked before anything is run.

::

    release: sensor-2.4.0
    boards:
      - {name: nodemcu, kind: mongoose-os, mcu: esp8266, image: sensor.bin, sha256: 5d41…}
    chips:
      - {part: atecc508a, revision: "00005000"}
    suites: [power, wiring, signing]
    requirements:
      - {id: HIL-WIRE-001, text: Only the element answers on the bus.}
    limits:
      - {measurement: "connect time, element", unit: ms, high: 1000}
    waivers:
      - {requirement: HIL-WIRE-001, who: Ada, why: no bench with that board, until: 2027-03-31}

Every mistake is told with file, line and column. The images are read and their hashes compared, so
that a release file which was read names firmware that is there and can be for its board.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from hil import suitegraph
from hil.board.flash import check_image
from hil.errors import ConfigError
from hil.rigfile.binding import Binder, Key, parse, suggest
from hil.session.quarantine import DATE, DATE_FORM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.rigfile import RigFile

    Findings = Iterator[tuple[tuple[str, ...], str]]

__all__ = [
    "Bound",
    "Chip",
    "Combination",
    "Release",
    "ReleaseBoard",
    "Requirement",
    "Waiver",
    "load_release",
]


@dataclass(frozen=True, kw_only=True)
class ReleaseBoard:
    """A board that the release is for, and the firmware that is to run on it."""

    name: Annotated[str, Key("What the release calls the board.")]
    kind: Annotated[str, Key("What runs on it, as in rig files.")]
    mcu: Annotated[Literal["esp8266", "esp32"], Key("The microcontroller.")]
    image: Annotated[str, Key("The firmware image: a path, counted from the release file's folder.")]
    sha256: Annotated[
        str, Key("SHA-256 of the image.", pattern="[0-9a-f]{64}", form="64 lower-case hex digits")
    ]
    offset: Annotated[int, Key("Where in the flash the image begins.", low=0, high=0x100_0000)] = 0


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A part and revision of the secure element that the release is for."""

    part: Annotated[Literal["atecc508a", "atecc608a", "atecc608b"], Key("The part number.")]
    revision: Annotated[
        str, Key("Answer to Info(Revision).", pattern="[0-9a-f]{8}", form="8 lower-case hex digits")
    ]


@dataclass(frozen=True, kw_only=True)
class Combination:
    """A board with a revision of the element."""

    board: Annotated[str, Key("Name of a board of this file.")]
    revision: Annotated[str, Key("Revision of a chip of this file.")]

    def __str__(self) -> str:
        return f"{self.board} with {self.revision}"


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A requirement that the release has to meet."""

    id: Annotated[str, Key("Its id, as the tests name it.")]
    text: Annotated[str, Key("What it asks, for people.")] = ""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A limit of the release for a measurement that tests record, on every combination."""

    measurement: Annotated[str, Key("Name of the measurement, as the report shows it.")]
    unit: Annotated[str, Key("Its unit.")] = ""
    low: Annotated[float | None, Key("Least allowed value.")] = None
    high: Annotated[float | None, Key("Greatest allowed value.")] = None
    samples: Annotated[int, Key("Least number of samples.", low=1, high=1_000_000)] = 1


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A requirement or suite that somebody answers for instead of a test."""

    who: Annotated[str, Key("Who answers for it.")]
    why: Annotated[str, Key("Why no test is needed.")]
    until: Annotated[str, Key("Last day, UTC.", pattern=DATE, form=DATE_FORM)]
    requirement: Annotated[str | None, Key("A requirement of this file.")] = None
    suite: Annotated[str | None, Key("A suite of this file.")] = None
    board: Annotated[str | None, Key("With `suite`: the only board that is meant.")] = None


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release, and what it has to show.

    Attributes:
        path: the file this was read from.
        sha256: of that file.
    """

    release: Annotated[str, Key("Name and version of the release.")]
    boards: Annotated[tuple[ReleaseBoard, ...], Key("Boards and their firmware.")]
    chips: Annotated[tuple[Chip, ...], Key("Parts and revisions of the element.")]
    suites: Annotated[tuple[str, ...], Key("Suites: names of shipped ones, or folders of your own.")]
    requirements: Annotated[tuple[Requirement, ...], Key("What has to be shown.")]
    description: Annotated[str, Key("One line for people.")] = ""
    combinations: Annotated[
        tuple[Combination, ...], Key("Which board is sold with which revision; default: each with each.")
    ] = ()
    limits: Annotated[tuple[Bound, ...], Key("Limits of measurements.")] = ()
    waivers: Annotated[tuple[Waiver, ...], Key("What is not shown, and who answers for it.")] = ()
    path: Path = Path()
    sha256: str = ""

    @property
    def required(self) -> tuple[Combination, ...]:
        """The combinations that have to be shown."""
        return self.combinations or tuple(
            Combination(board=board.name, revision=chip.revision)
            for board in self.boards
            for chip in self.chips
        )

    def image(self, board: ReleaseBoard) -> Path:
        """Where a board's firmware image lies."""
        return self.path.resolve().parent / board.image

    def board_of(self, rig: RigFile) -> ReleaseBoard | None:
        """The board of this release that a rig carries, by its rig file; None if it is none of them."""
        for board in self.boards:
            if (board.kind, board.mcu) == (rig.board.kind, rig.board.mcu):
                return board
        return None

    def concerns(self, rig: RigFile) -> bool:
        """Whether a rig shows one of the combinations, by its rig file."""
        return any(self.shows(rig, combination) for combination in self.required)

    def shows(self, rig: RigFile, combination: Combination) -> bool:
        """Whether a rig shows this combination, by its rig file."""
        board = self.board_of(rig)
        part = next(chip.part for chip in self.chips if chip.revision == combination.revision)
        return (
            board is not None
            and board.name == combination.board
            and part == rig.element.part
            and rig.element.revision in (None, combination.revision)
        )

    def adjusted(self, rig: RigFile) -> RigFile:
        """The rig file of a physical rig with the release's image, for every test that writes firmware."""
        board = self.board_of(rig)
        if rig.emulated or board is None:
            return rig
        image = str(self.image(board))
        return replace(rig, board=replace(rig.board, image=image, image_offset=board.offset))

    def suite_names(self) -> dict[str, str]:
        """The suites as the record names them, with what the release file says."""
        return {self._suite_name(suite): suite for suite in self.suites}

    def suite_folder(self, suite: str) -> Path | None:
        """The folder of a suite of one's own; None for a shipped one."""
        return None if suite in _SHIPPED else (self.path.resolve().parent / suite).resolve()

    def _suite_name(self, suite: str) -> str:
        folder = self.suite_folder(suite)
        return suite if folder is None else suitegraph.suite_of((folder / "test_it.py").as_posix())

    def fields(self) -> dict[str, Any]:
        """As the journal has it."""
        parts = {chip.revision: chip.part for chip in self.chips}
        return {
            "release": self.release,
            "description": self.description,
            "file": self.path.name,
            "file_sha256": self.sha256,
            "boards": [asdict(board) for board in self.boards],
            "combinations": [
                {"board": one.board, "part": parts[one.revision], "revision": one.revision}
                for one in self.required
            ],
            "suites": list(self.suite_names()),
            "requirements": [asdict(one) for one in self.requirements],
            "limits": [_given(one) for one in self.limits],
            "waivers": [_given(one) for one in self.waivers],
        }


def _given(row: Bound | Waiver) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if value is not None}


_SHIPPED = frozenset(suite.name for suite in suitegraph.SUITES)


def load_release(path: Path) -> Release:
    """Read and check a release file and the images that it names.

    Raises:
        ConfigError: one message with ``file:line:column`` for every problem.
    """
    node = parse(path)
    binder = Binder(path, path.resolve().parent, "the release file")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    release = replace(binder.bind(node, Release), path=path, sha256=digest)
    for rule in _RULES:
        for place, text in rule(release):
            binder.problem(place, text)
    binder.check()
    return release


def _nothing_is_empty(release: Release) -> Findings:
    for name in ("boards", "chips", "suites", "requirements"):
        if not getattr(release, name):
            yield (name,), f"{name} is empty: there would be nothing to show"


def _nothing_stands_twice(release: Release) -> Findings:
    lists: dict[str, list[str]] = {
        "boards": [board.name for board in release.boards],
        "chips": [chip.revision for chip in release.chips],
        "suites": list(release.suites),
        "requirements": [one.id for one in release.requirements],
        "combinations": [str(one) for one in release.combinations],
    }
    for name, values in lists.items():
        seen: Counter[str] = Counter()
        for index, value in enumerate(values):
            seen[value] += 1
            if seen[value] == 2:
                yield (name, str(index)), f"{value} stands twice in {name}"
    kinds = Counter((board.kind, board.mcu) for board in release.boards)
    for index, board in enumerate(release.boards):
        if kinds[board.kind, board.mcu] > 1:
            yield (
                ("boards", str(index)),
                f"two boards are {board.kind} on {board.mcu}: a rig would be either; qualify them apart",
            )


def _images_are_there_and_are_the_ones(release: Release) -> Findings:
    for index, board in enumerate(release.boards):
        place = ("boards", str(index))
        try:
            content = release.image(board).read_bytes()
        except OSError as error:
            yield (*place, "image"), f"image {board.image} cannot be read: {error.strerror or error}"
            continue
        found = hashlib.sha256(content).hexdigest()
        if found != board.sha256:
            yield (*place, "sha256"), f"the file {board.image} has another hash: {found}"
            continue
        try:
            check_image(content, board.mcu, board.offset)
        except ConfigError as error:
            yield (*place, "image"), f"{board.image}: {error.message}"


def _combinations_name_what_is_there(release: Release) -> Findings:
    boards = [board.name for board in release.boards]
    revisions = [chip.revision for chip in release.chips]
    for index, one in enumerate(release.combinations):
        place = ("combinations", str(index))
        if one.board not in boards:
            yield (*place, "board"), f"there is no board {one.board!r}{suggest(one.board, boards)}"
        if one.revision not in revisions:
            yield (*place, "revision"), f"there is no chip {one.revision!r}{suggest(one.revision, revisions)}"


def _suites_are_there(release: Release) -> Findings:
    for index, suite in enumerate(release.suites):
        folder = release.suite_folder(suite)
        if folder is not None and not folder.is_dir():
            yield (
                ("suites", str(index)),
                f"there is no suite {suite!r}{suggest(suite, _SHIPPED)}, and no folder {folder}",
            )
    names = Counter(release._suite_name(suite) for suite in release.suites)
    for name, count in names.items():
        if count > 1 and len(set(release.suites)) == len(release.suites):
            yield ("suites",), f"{count} folders would both be the suite {name!r}"


def _limits_limit(release: Release) -> Findings:
    for index, one in enumerate(release.limits):
        if one.low is None and one.high is None:
            yield ("limits", str(index)), f"the limit of {one.measurement!r} has neither low nor high"
        elif one.low is not None and one.high is not None and one.low > one.high:
            yield ("limits", str(index)), f"low is above high in the limit of {one.measurement!r}"


def _waivers_name_what_is_there(release: Release) -> Findings:
    requirements = [one.id for one in release.requirements]
    suites = list(release.suite_names())
    boards = [board.name for board in release.boards]
    for index, one in enumerate(release.waivers):
        place = ("waivers", str(index))
        if (one.requirement is None) == (one.suite is None):
            yield place, "a waiver names either a requirement or a suite"
        if one.requirement is not None and one.requirement not in requirements:
            near = suggest(one.requirement, requirements)
            yield (*place, "requirement"), f"the release has no requirement {one.requirement!r}{near}"
        if one.suite is not None and one.suite not in suites:
            yield (*place, "suite"), f"the release has no suite {one.suite!r}{suggest(one.suite, suites)}"
        if one.board is not None and one.suite is None:
            yield (*place, "board"), "board belongs to a waiver of a suite"
        elif one.board is not None and one.board not in boards:
            yield (*place, "board"), f"there is no board {one.board!r}{suggest(one.board, boards)}"
        if not (one.who.strip() and one.why.strip()):
            yield place, "a waiver says who answers for it and why"
        try:
            date.fromisoformat(one.until)
        except ValueError as error:
            yield (*place, "until"), f"until: {error}"


_RULES = (
    _nothing_is_empty,
    _nothing_stands_twice,
    _images_are_there_and_are_the_ones,
    _combinations_name_what_is_there,
    _suites_are_there,
    _limits_limit,
    _waivers_name_what_is_there,
)
