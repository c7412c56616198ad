"""Measurements with limits, and their statistics."""
