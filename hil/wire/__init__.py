"""Codecs without I/O: framing, checksums and tables of everything that crosses a wire."""
