"""Release qualification: the release file, the gate of a rig, the run and its signature."""
