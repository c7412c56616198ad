"""Suite: signing."""
