"""The rig: its parts, and everything that is done with one rig."""
