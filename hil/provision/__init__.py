"""From a blank element to a board that connects: guarded steps, a plan file, a resumable flow.

``zones`` has the elementary steps, each with permits of its own; ``plan`` the declarative file;
``identity`` keys and certificates; ``flow`` the whole, step by step with verification; ``rehearsal``
the same on a twin in memory, which is what a dry run prints.
"""

from hil.provision.zones import (
    KEK_SLOT,
    KEY_SLOT,
    Contents,
    install_key,
    lock_configuration,
    lock_data,
    lock_data_unchecked,
    write_contents,
    write_kek,
    write_key,
)

__all__ = [
    "KEK_SLOT",
    "KEY_SLOT",
    "Contents",
    "install_key",
    "lock_configuration",
    "lock_data",
    "lock_data_unchecked",
    "write_contents",
    "write_kek",
    "write_key",
]
