"""What stands in for AWS IoT on this machine: moto with an overlay and an MQTT endpoint."""
