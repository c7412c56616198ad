"""X.509 around the element: compressed certificates, chains, issuing."""
