"""TLS whose private key stays in the element."""
