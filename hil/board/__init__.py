"""The board that carries the MCU, host side."""
