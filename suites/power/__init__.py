"""Suite: power."""
