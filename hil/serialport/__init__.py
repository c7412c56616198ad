"""Serial ports: one interface for USB adapters, network ports and lines that this process emulates.

Importing this package teaches pyserial the URL ``emu://<rig>/<line>``.
"""

import serial

from hil.serialport.emulated import EmulatedLine, register, unregister
from hil.serialport.port import Port, SerialPort, open_port

__all__ = ["EmulatedLine", "Port", "SerialPort", "open_port", "register", "unregister"]

if __name__ not in serial.protocol_handler_packages:
    serial.protocol_handler_packages.append(__name__)
