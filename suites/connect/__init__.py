"""Suite: connect."""
