"""Values with units, limits, the clock they were taken on, and where they come from.

What a physical rig shows is *measured*; what an emulated rig shows is *predicted* by a model.
The two are different types, and a virtual clock cannot measure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hil.errors import UsageError
from hil.measure.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Limit", "Measured", "Measurement", "Measurements", "Predicted", "Provenance", "Value"]

Value = float | int | str | bool
ClockKind = Literal["virtual", "wall"]


class Measured(msgspec.Struct, frozen=True):
    """A value taken from hardware.

    Attributes:
        source: the instrument or clock, e.g. ``"console timestamps"``.
    """

    source: str

    def __str__(self) -> str:
        return f"measured ({self.source})"


class Predicted(msgspec.Struct, frozen=True):
    """A value computed by a model; it says nothing certain about hardware.

    Attributes:
        model: which model, e.g. ``"atecc508a, esp8266-80mhz, rtt 5 ms"``.
        band: between which values it lies by what one believes of the model's inputs, if that is known.
    """

    model: str
    band: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"predicted ({self.model})"


Provenance = Measured | Predicted


@dataclass(frozen=True)
class Limit:
    """Inclusive bounds, each with an optional inner bound that warns.

    Attributes:
        low, high: outside of these it is a failure; None is no bound.
        warn_low, warn_high: between these and the bounds it is a pass with warnings.
        equal: instead of bounds, the one value that passes.
    """

    low: float | None = None
    high: float | None = None
    warn_low: float | None = None
    warn_high: float | None = None
    equal: Value | None = None

    def __post_init__(self) -> None:
        rising = [b for b in (self.low, self.warn_low, self.warn_high, self.high) if b is not None]
        if rising != sorted(rising):
            raise UsageError(f"the bounds of a limit must rise: {self}")
        if self.equal is not None and rising:
            raise UsageError("a limit has bounds or one value that passes, not both")

    def judge(self, value: Value) -> Verdict:
        """Pass, pass with warnings, or fail.

        Raises:
            UsageError: bounds were given for a text.
        """
        if self.equal is not None:
            # True == 1 in Python; a flag and a number are not the same measurement.
            same = value == self.equal and isinstance(value, bool) == isinstance(self.equal, bool)
            return Verdict.PASS if same else Verdict.FAIL
        if isinstance(value, str):
            raise UsageError(f"the text {value!r} cannot be compared with bounds")
        # Written so that a NaN, which compares false with everything, fails.
        inside = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        if not inside or value != value:
            return Verdict.FAIL
        near_low = self.warn_low is not None and value < self.warn_low
        near_high = self.warn_high is not None and value > self.warn_high
        return Verdict.WARN if near_low or near_high else Verdict.PASS

    @property
    def bounds(self) -> str:
        """The bounds without the warnings, e.g. ``≤ 1000``."""
        if self.equal is not None:
            return f"= {format_value(self.equal, '')}"
        if self.low is not None and self.high is not None:
            return f"{self.low:g} … {self.high:g}"
        if self.high is not None:
            return f"≤ {self.high:g}"
        return "none" if self.low is None else f"≥ {self.low:g}"

    def __str__(self) -> str:
        warns = [f"below {self.warn_low:g}"] if self.warn_low is not None else []
        warns += [f"above {self.warn_high:g}"] if self.warn_high is not None else []
        return f"{self.bounds}, warns {' or '.join(warns)}" if warns else self.bounds

    def fields(self) -> dict[str, Any]:
        """The bounds that are set, as the journal writes them."""
        names = ("low", "high", "warn_low", "warn_high", "equal")
        return {name: bound for name in names if (bound := getattr(self, name)) is not None}


NO_LIMIT = Limit()


@dataclass(frozen=True)
class Measurement:
    """One value, or a declared one that was never set (``value`` is None): that fails.

    Attributes:
        name: what was measured, e.g. ``"connect time"``.
        unit: SI symbol or ``""`` for counts, flags and texts.
        clock: the clock of a time; of other values, the clock of the rig.
        key: True for the figures that summaries show.
        samples: how many observations the value stands for.
    """

    name: str
    unit: str
    clock: ClockKind
    value: Value | None = None
    provenance: Provenance | None = None
    limit: Limit = NO_LIMIT
    key: bool = False
    samples: int = 1

    def __post_init__(self) -> None:
        if self.value is not None and self.provenance is None:
            raise UsageError(f"{self.name}: a value is either Measured or Predicted")
        if self.clock == "virtual" and isinstance(self.provenance, Measured):
            raise UsageError(f"{self.name}: a virtual clock predicts; nothing was measured")

    @property
    def verdict(self) -> Verdict:
        """The limit's judgement; a value that was never set fails."""
        return Verdict.FAIL if self.value is None else self.limit.judge(self.value)

    def __str__(self) -> str:
        shown = "never set" if self.value is None else format_value(self.value, self.unit)
        limit = "" if self.limit == NO_LIMIT else f" (limit {self.limit})"
        return f"{self.name} = {shown}{limit}: {self.verdict}"

    def fields(self) -> dict[str, Any]:
        """The fields of the journal's ``measurement`` event."""
        provenance = self.provenance
        source = provenance.source if isinstance(provenance, Measured) else provenance and provenance.model
        band = provenance.band if isinstance(provenance, Predicted) else None
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "limit": self.limit.fields(),
            "clock": self.clock,
            "provenance": type(provenance).__name__.lower() if provenance is not None else None,
            "source": source,
            "verdict": str(self.verdict),
            "key": self.key,
            **({} if band is None else {"band": list(band)}),
            **({} if self.samples == 1 else {"samples": self.samples}),
        }


class Measurements:
    """The measurements of one test: declared first or recorded at once, judged at the end.

    Args:
        clock: the rig's kind of clock.
        provenance: where this rig's values come from, unless a recording says otherwise.
        emit: called with each finished measurement, e.g. to journal it.
    """

    def __init__(self, clock: ClockKind, provenance: Provenance, emit: Callable[[Measurement], None]) -> None:
        self._clock: ClockKind = clock
        self._provenance = provenance
        self._emit = emit
        self._declared: dict[str, Measurement] = {}
        self.finished: list[Measurement] = []

    def declare(self, name: str, unit: str = "", limit: Limit = NO_LIMIT, *, key: bool = False) -> None:
        """Promise a value; the test fails if none follows.

        Raises:
            UsageError: the name was used before in this test.
        """
        self._check_new(name)
        self._declared[name] = Measurement(name, unit, self._clock, limit=limit, key=key)

    def record(
        self,
        name: str,
        value: Value,
        unit: str = "",
        limit: Limit = NO_LIMIT,
        *,
        key: bool = False,
        provenance: Provenance | None = None,
        samples: int = 1,
    ) -> Measurement:
        """Set a declared value, or declare and set one in one go.

        Returns the measurement with its verdict; the test decides whether to go on.

        Raises:
            UsageError: the name has a value already, or a declared unit or limit is given again.
        """
        source = provenance or self._provenance
        declared = self._declared.pop(name, None)
        if declared is None:
            self._check_new(name)
            measurement = Measurement(name, unit, self._clock, value, source, limit, key, samples)
        elif unit or limit != NO_LIMIT:
            self._declared[name] = declared
            raise UsageError(f"{name}: unit and limit were declared before and cannot be given again")
        else:
            measurement = replace(declared, value=value, provenance=source, samples=samples)
        self._finish(measurement)
        return measurement

    def close(self) -> Verdict:
        """End the test: what was declared and never set fails. Returns the worst verdict."""
        for measurement in self._declared.values():
            self._finish(measurement)
        self._declared.clear()
        return worst([Verdict.PASS, *(m.verdict for m in self.finished)])

    def _finish(self, measurement: Measurement) -> None:
        _ = measurement.verdict  # a text with bounds is refused before it is recorded
        self.finished.append(measurement)
        self._emit(measurement)

    def _check_new(self, name: str) -> None:
        if name in self._declared or any(m.name == name for m in self.finished):
            raise UsageError(f"{name!r} was measured or declared before in this test")


def format_value(value: Value, unit: str) -> str:
    """A value for people: at most four significant digits after rounding, with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        shown = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    else:
        shown = str(value)
    return f"{shown} {unit}".rstrip()
