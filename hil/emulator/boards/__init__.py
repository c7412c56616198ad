"""Firmware models of emulated boards."""
