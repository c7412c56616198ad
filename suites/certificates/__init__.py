"""Suite: certificates."""
