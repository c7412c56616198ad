"""Hypothesis without its limit of time per example: a loaded machine must not fail a test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("whenever", deadline=None)
settings.load_profile("whenever")
