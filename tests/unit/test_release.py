"""Release files: every mistake with its line, and what a good one says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from hil import rigfile
from hil.emulator.boards.bootimage import marker_image
from hil.errors import ConfigError
from hil.release.files import (
    Bound,
    Chip,
    Combination,
    Release,
    ReleaseBoard,
    Requirement,
    Waiver,
    load_release,
)
from hil.rigfile.binding import fields_of

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "qualify-a-release.md"
IMAGE = marker_image("esp8266", "mongoose-os")
HASH = hashlib.sha256(IMAGE).hexdigest()
GOOD = f"""\
release: sensor-2.4.0
boards:
  - {{name: nodemcu, kind: mongoose-os, mcu: esp8266, image: sensor.bin, sha256: {HASH}}}
chips:
  - {{part: atecc508a, revision: "00005000"}}
suites: [power, wiring, own/brownout]
requirements:
  - {{id: HIL-PWR-001, text: The relay cuts the power.}}
limits:
  - {{measurement: connect time, unit: ms, high: 1000}}
waivers:
  - {{requirement: HIL-PWR-001, who: Ada, why: no bench, until: 2027-03-31}}
"""


def written(folder: Path, text: str = GOOD) -> Path:
    (folder / "sensor.bin").write_bytes(IMAGE)
    (folder / "own" / "brownout").mkdir(parents=True, exist_ok=True)
    path = folder / "release.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_one_says_what_the_journal_keeps(tmp_path: Path) -> None:
    release = load_release(written(tmp_path))
    fields = release.fields()
    assert fields["combinations"] == [{"board": "nodemcu", "part": "atecc508a", "revision": "00005000"}]
    assert fields["suites"] == ["power", "wiring", "brownout"]
    assert fields["file_sha256"] == hashlib.sha256(GOOD.encode()).hexdigest()
    assert fields["waivers"] == [
        {"requirement": "HIL-PWR-001", "who": "Ada", "why": "no bench", "until": "2027-03-31"}
    ]
    assert release.suite_folder("own/brownout") == tmp_path.resolve() / "own" / "brownout"
    assert release.suite_folder("power") is None


def test_which_rigs_it_concerns(tmp_path: Path) -> None:
    release = load_release(written(tmp_path))
    fits = rigfile.load_rig("emulated-esp8266-atecc508a")
    assert release.concerns(fits)
    assert not release.concerns(rigfile.load_rig("emulated-esp32-atecc608b"))
    assert release.adjusted(fits) == fits, "an emulated board keeps its own image"
    bench = rigfile.load_rig("example-bench-esp8266")
    assert release.adjusted(bench).board.image == str(tmp_path.resolve() / "sensor.bin")


def test_the_how_to_explains_every_key_and_its_example_is_right(tmp_path: Path) -> None:
    text = HOWTO.read_text(encoding="utf-8")
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    path = written(tmp_path, re.sub("sha256: [0-9a-f]{64}", f"sha256: {HASH}", example))
    release = load_release(path)
    assert [str(one) for one in release.required] == ["nodemcu with 00005000"]
    for model in (Release, ReleaseBoard, Chip, Combination, Requirement, Bound, Waiver):
        for key in fields_of(model):
            assert f"`{key}`" in text, (model.__name__, key)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("release: sensor-2.4.0\n", "", "1:1: the release file lacks the key 'release'"),
        ("waivers:", "wavers:", "11:1: unknown key 'wavers' in the release file (did you mean 'waivers'?)"),
        ("sensor.bin", "other.bin", "3:61: image other.bin cannot be read: No such file or directory"),
        ("sha256: ", "sha256: 00", "sha256 must be 64 lower-case hex digits"),
        ('revision: "00005000"', "revision: 5000", "5:33: revision must be 8 lower-case hex digits"),
        ("part: atecc508a", "part: atecc508", "must be atecc508a, atecc608a or atecc608b, not"),
        ("[power, wiring, own/brownout]", "[powre]", "6:9: there is no suite 'powre' (did you mean 'power'"),
        ("[power, wiring, own/brownout]", "[]", "6:9: suites is empty: there would be nothing to show"),
        ("[power, wiring, own/brownout]", "[power, power]", "6:9: power stands twice in suites"),
        (", high: 1000", "", "10:5: the limit of 'connect time' has neither low nor high"),
        ("high: 1000", "high: 1, low: 2", "low is above high in the limit of 'connect time'"),
        ("requirement: HIL-PWR-001", "requirement: HIL-PWR-01", "no requirement 'HIL-PWR-01' (did you mean"),
        ("requirement: HIL-PWR-001, who", "who", "12:5: a waiver names either a requirement or a suite"),
        ("who: Ada", "suite: power, who: Ada", "12:5: a waiver names either a requirement or a suite"),
        ("who: Ada", "board: nodemcu, who: Ada", "board belongs to a waiver of a suite"),
        ("who: Ada, why: no bench", "why: no bench", "lacks the key 'who'"),
        ("why: no bench", 'why: " "', "12:5: a waiver says who answers for it and why"),
        ("2027-03-31", "2027-02-31", "until: day is out of range for month"),
        ("limits:", "combinations: [{board: nodemco, revision: '1'}]\nlimits:", "did you mean 'nodemcu'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_release(path)
    assert words in caught.value.message
    assert all(line.startswith(f"{path}:") for line in caught.value.message.splitlines())


def test_an_image_that_was_changed_or_is_for_another_chip_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "sensor.bin").write_bytes(IMAGE + b"\0")
    with pytest.raises(ConfigError, match=r"3:\d+: the file sensor.bin has another hash: [0-9a-f]{64}"):
        load_release(path)
    other = marker_image("esp32", "mongoose-os")
    (tmp_path / "sensor.bin").write_bytes(other)
    text = GOOD.replace(HASH, hashlib.sha256(other).hexdigest())
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"3:61: sensor.bin: this is no image for an esp8266"):
        load_release(path)
