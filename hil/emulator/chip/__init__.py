"""The ATECC secure element, emulated."""
