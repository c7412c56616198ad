"""Data: rig files, part profiles, cost models, element configurations."""
