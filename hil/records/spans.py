"""Durations for people."""

from __future__ import annotations

__all__ = ["span"]


def span(us: int) -> str:
    """A duration for people: ``870 us``, ``67.9 ms``, ``12.3 s``, ``2 min 5 s``, ``3 h 20 min``."""
    if us < 1000:
        return f"{us} us"
    if us < 1_000_000:
        return f"{_three_digits(us / 1000)} ms"
    if us < 120_000_000:
        return f"{_three_digits(us / 1e6)} s"
    minutes, seconds = divmod(us // 1_000_000, 60)
    if minutes < 120:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
