"""Nothing irreversible by accident: permits, transport filter, ledger, config lint."""
