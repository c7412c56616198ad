"""Suite: locks."""
