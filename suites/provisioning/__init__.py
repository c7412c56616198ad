"""Suite: provisioning."""
