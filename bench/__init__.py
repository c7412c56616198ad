"""Every performance figure of the project, as ratios taken in one run: ``python -m bench``."""
