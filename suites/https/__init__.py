"""Suite: https."""
