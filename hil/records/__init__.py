"""The journal of a run and the views that are made of it."""
