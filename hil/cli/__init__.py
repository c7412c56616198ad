"""The `hil` command, one module per verb."""
