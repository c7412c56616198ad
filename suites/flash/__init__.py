"""Suite: flash."""
