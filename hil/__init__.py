"""Hardware-in-the-loop tests for boards that carry a Microchip ATECC secure element."""
