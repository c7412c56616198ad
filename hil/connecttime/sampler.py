"""Takes samples of connect time on one rig: prepare the board for a case, let it connect again and again.

From the console's start line to ``CONNACK 0``. Where the endpoint is ours its own stamps are compared
with the console's, and a disagreement is an error of the rig.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hil.board.transcript import Mark
from hil.cloud.local.faults import Fault
from hil.errors import RigError, UsageError
from hil.measure.connect import Connection, next_connection
from hil.measure.stamps import Agreement, agree
from hil.measure.statistics import Sample
from hil.rig.parts import life_cycle_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.board.console import Console
    from hil.board.transcript import Line
    from hil.clock import Clock
    from hil.cloud.local.faults import SessionLog
    from hil.cloud.registration import Registration
    from hil.connecttime.scenario import Case, KeyPlace
    from hil.rig.rig import Rig

__all__ = ["Attempt", "Sampled", "Sampler", "Since", "Start"]

Start = Literal["reconnect", "power-on"]
"""After the server closed the connection, or after the power was off."""

_KEY_FILE = "device.key.pem"
_ELEMENT_KEY = "ATCA:0"
_RSA_BITS = 2048
_GIVE_UP = 3
"""A board that failed so often in a row is not asked again."""


@dataclass(frozen=True)
class Attempt:
    """One connection.

    Attributes:
        connection: as read off the console.
        session: the endpoint's record, if the endpoint is ours and saw it.
        agreement: the comparison of the two, if both show an accepted connection.
        power_on_us: from the relay's command to the CONNACK, if the power was switched and a CONNACK came.
    """

    connection: Connection
    session: SessionLog | None
    agreement: Agreement | None
    power_on_us: int | None = None

    @property
    def accepted(self) -> bool:
        """CONNACK 0 came."""
        return self.connection.connack == 0


@dataclass(frozen=True)
class Sampled:
    """Attempts of one case.

    Attributes:
        deterministic: a model without random draws: however many, they are one observation.
        clock: ``virtual`` or ``wall``.
    """

    case: Case
    start: Start
    attempts: tuple[Attempt, ...]
    deterministic: bool
    clock: Literal["virtual", "wall"]

    @property
    def sample(self) -> Sample:
        """Connect times in milliseconds; attempts without CONNACK 0 are censored, not dropped."""
        return self._sample([one.connection.duration_us for one in self.attempts if one.accepted])

    @property
    def power_on(self) -> Sample:
        """From the relay's command to the CONNACK, in milliseconds."""
        return self._sample([us for one in self.attempts if (us := one.power_on_us) is not None])

    def _sample(self, values_us: Sequence[int]) -> Sample:
        failed = sum(not one.accepted for one in self.attempts)
        return Sample(tuple(us / 1000 for us in values_us), failed, self.deterministic)

    @property
    def connections(self) -> list[Connection]:
        """Those that were accepted, as the console shows them."""
        return [one.connection for one in self.attempts if one.accepted]

    @property
    def stamps(self) -> list[dict[str, int]]:
        """The endpoint's stamps of those that were accepted; empty if it is not ours."""
        return [
            {str(phase): at for phase, at in one.session.phases.items()}
            for one in self.attempts
            if one.accepted and one.session is not None
        ]

    @property
    def agreements(self) -> list[Agreement]:
        """The comparisons of console and endpoint; empty if the endpoint is not ours."""
        return [one.agreement for one in self.attempts if one.agreement is not None]

    @property
    def failure(self) -> str:
        """Why the first failed attempt failed; empty if none did."""
        return next((one.connection.explain() for one in self.attempts if not one.accepted), "")


class Since(NamedTuple):
    """A moment: what the console had said, and how many connections the endpoint had seen."""

    mark: Mark
    connections: int


class Sampler:
    """Takes samples on one rig.

    Args:
        rig: opened; its board runs firmware that connects by itself.

    Raises:
        RigError: the board did not start.
        UsageError: the element is in no state to connect with.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._registrations: dict[KeyPlace, tuple[Registration, bytes | None]] = {}
        self._connected = False
        self._case: Case | None = None
        if rig.boot is None:
            raise RigError(f"the board of {rig.name} did not start: {rig.diagnose_silence()}")
        if rig.emulated is None:
            state = life_cycle_state(rig.element.lock_state())
            if state != "provisioned":
                raise UsageError(
                    f"the element of {rig.name} is {state}; a connection needs a key in slot 0",
                    hint="provision it first; nothing is locked or written here",
                )
        else:
            rig.element_in("provisioned")
            firmware = rig.emulated.firmware
            self._image = firmware.build, tuple(firmware.tls_versions)

    # -- preparation ---------------------------------------------------------------------------

    def prepare(self, case: Case) -> None:
        """Have the board connect as ``case`` says; it restarts and begins at once."""
        scenario, rig = case.scenario, self.rig
        if rig.emulated is not None:
            firmware, (build, _) = rig.emulated.firmware, self._image
            firmware.tls_versions = (case.version,)
            firmware.build = build.sign_only() if scenario.element == "sign" else build
        if rig.cloud.serves:
            shown = frozenset({Fault.RSA_CHAIN}) if scenario.server == "rsa" else frozenset()
            rig.cloud.mqtt.watch(then=shown)
        registration, pem = self._registration(scenario.key)
        rig.cloud.configure_board(
            registration,
            key=_ELEMENT_KEY if pem is None else _KEY_FILE,
            files=None if pem is None else {_KEY_FILE: pem},
            atca=scenario.element != "none",
        )
        self._case = case
        self._connected = False

    def _registration(self, place: KeyPlace) -> tuple[Registration, bytes | None]:
        """What the board connects with, and the key's file if it has one."""
        if place not in self._registrations:
            self._registrations[place] = self._register(place)
        return self._registrations[place]

    def _register(self, place: KeyPlace) -> tuple[Registration, bytes | None]:
        cloud = self.rig.cloud
        if place == "element":
            return cloud.register(self.rig.element), None
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
            ec.generate_private_key(ec.SECP256R1())
            if place == "ecc-file"
            else rsa.generate_private_key(65_537, _RSA_BITS)
        )
        registration = cloud.register_file_key(key, thing=f"{place}-{self.rig.name}")
        return registration, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @property
    def case(self) -> Case:
        """What the board was prepared for.

        Raises:
            UsageError: nothing was prepared.
        """
        if self._case is None:
            raise UsageError("prepare a case first")
        return self._case

    def restore(self) -> None:
        """Stop connecting, and leave the firmware as it was found."""
        emulated = self.rig.emulated
        if emulated is not None:
            emulated.firmware.build, emulated.firmware.tls_versions = self._image
        if self.rig.cloud.serves:
            self.rig.cloud.mqtt.watch()
        self.rig.configure({"sys": {"atca": {"enable": True}}, "mqtt": {"enable": False}})
        self._connected = False

    # -- samples -------------------------------------------------------------------------------

    def take(
        self, n: int, start: Start = "reconnect", progress: Callable[[int], None] | None = None
    ) -> Sampled:
        """Let the board connect ``n`` times.

        Args:
            n: how often.
            start: what precedes each connection.
            progress: called with the number of attempts so far.

        Raises:
            UsageError: nothing was prepared, or the board cannot be made to connect again like that.
            RigError: console and endpoint disagree, or the board does not start any more.
        """
        case = self.case
        if start == "power-on":
            self.rig.power  # noqa: B018  (says what is missing)
        elif not self.rig.cloud.serves:
            raise UsageError(
                f"{self.rig.name}: only an endpoint of ours closes connections on demand",
                hint="sample from power-on",
            )
        attempts: list[Attempt] = []
        for number in range(n):
            attempts.append(self._attempt(start, first=number == 0))
            if progress is not None:
                progress(number + 1)
            if len(attempts) >= _GIVE_UP and not any(one.accepted for one in attempts[-_GIVE_UP:]):
                break
        varies = self.rig.emulated is None or self.rig.emulated.varies
        return Sampled(case, start, tuple(attempts), not varies, self.rig.clock.kind)

    def _attempt(self, start: Start, *, first: bool) -> Attempt:
        if start == "power-on":
            return self._from_power_on()
        if first and not self._connected:
            self._wait_for(self._start_of_board())  # the one that its restart began
        since = self.since()
        if self._connected:
            self.rig.cloud.mqtt.disconnect()
        return self._observed(since)

    def _from_power_on(self) -> Attempt:
        rig = self.rig
        rig.power.off()
        since = self.since()
        began = rig.clock.now
        rig.power_on()
        if rig.boot is None:
            raise RigError(f"the board of {rig.name} did not start: {rig.diagnose_silence()}")
        attempt = self._observed(since)
        connack, started = attempt.connection.after("connack"), attempt.connection.started_us
        if not attempt.accepted or connack is None or started is None:
            return attempt
        return replace(attempt, power_on_us=started + connack - began)

    def _start_of_board(self) -> Mark:
        """The place in the transcript where the board last started."""
        transcript = self.rig.console.transcript
        first = 0 if self.rig.boot is None else self.rig.boot.at
        later = [line for line in transcript.lines if line.at >= first]
        mark = transcript.mark()
        return Mark(mark.line - len(later), mark.entry)

    def _wait_for(self, mark: Mark) -> Connection:
        lines = _LinesSince(self.rig.console, mark)
        connection = next_connection(lines, timeout_us=self.rig.file.connect.timeout_ms * 1000)
        self._connected = connection.connack == 0
        return connection

    def since(self) -> Since:
        """Now, as console and endpoint count; for :meth:`recovered`."""
        return Since(self.rig.console.mark(), self.rig.cloud.connection_count)

    def recovered(self, since: Since, attempts: int = 10) -> Attempt:
        """The board's first accepted connection since then, by itself; else the last that failed."""
        attempt = self._observed(since)
        for _ in range(attempts - 1):
            if attempt.accepted:
                break
            attempt = self._observed(self.since())
        return attempt

    def _observed(self, since: Since) -> Attempt:
        cloud = self.rig.cloud
        connection = self._wait_for(since.mark)
        if not cloud.serves:
            return Attempt(connection, None, None)
        seen = cloud.endpoint.logs[since.connections :]
        session = next((log for log in reversed(seen) if log.verdict == "accepted"), None)
        if session is None:
            session = seen[-1] if seen else None
        if connection.connack != 0:
            return Attempt(connection, session, None)
        if session is None:
            raise RigError(
                f"{self.rig.name}: the console shows a CONNACK that our endpoint never sent",
                hint="does the board really connect to this program's endpoint?",
            )
        if session.version != f"TLSv{self.case.version}":
            raise RigError(
                f"the board of {self.rig.name} agreed on {session.version}, not on TLS {self.case.version}",
                hint="its TLS library decides: name that version alone in `connect.tls_versions`",
            )
        stamps = {str(phase): at for phase, at in session.phases.items()}
        emulated = self.rig.emulated
        agreement = agree(
            connection,
            stamps,
            offset_us=cloud.mqtt.offset_us,
            rtt_us=0 if emulated is None else emulated.rtt_us,
            tolerance_us=self.rig.file.connect.tolerance_ms * 1000,
        )
        return Attempt(connection, session, agreement)


class _LinesSince:
    """A console's lines after a mark, for readers of the measuring layer."""

    def __init__(self, console: Console, mark: Mark) -> None:
        self._console = console
        self._mark = mark
        self.clock: Clock = console.clock

    @property
    def lines(self) -> Sequence[Line]:
        return self._console.transcript.lines_since(self._mark)

    def pump(self, deadline: int) -> bool:
        return self._console.pump(deadline)
