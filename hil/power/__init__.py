"""Relays and the power they switch."""
