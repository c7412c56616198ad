"""From a box of parts to a rig that works: what is plugged in, what is broken, what to do."""
