"""The I2C bus: what drivers need of one, and its backends."""
