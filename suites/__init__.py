"""The suites that a rig is judged by."""
