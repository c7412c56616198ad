"""Loads the plugin for a checkout that is not installed; the default rig is in pyproject.toml."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Without the plugin the suites have no rig."""
    plugins = config.pluginmanager
    if not plugins.has_plugin("hil") and not plugins.is_blocked("hil"):
        raise pytest.UsageError("hil is not installed here; run: pip install -e .")
