"""Emulated parts behind the same bytes as real ones."""
