"""The secure element, host side."""
