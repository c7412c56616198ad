"""AWS IoT: sessions and registration."""
