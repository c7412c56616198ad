"""Suite: wiring."""
