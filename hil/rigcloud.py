"""The cloud of one rig: control plane and MQTT endpoint, together.

On an emulated rig the endpoint is an actor in the same world as the board; its registry is the
control plane's, so that what was registered through boto3 is what may connect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from hil.cloud.local.endpoint import Endpoint
    from hil.cloud.registration import Registrar
    from hil.cloud.session import CloudSession
    from hil.rig import Rig

__all__ = ["RigCloud"]

PORT = 8883


class RigCloud:
    """Control plane and endpoint of a rig.

    Args:
        rig: the opened rig.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._session: CloudSession | None = None
        self._registrar: Registrar | None = None
        self._endpoint: Endpoint | None = None

    @property
    def session(self) -> CloudSession:
        """The control plane."""
        if self._session is None:
            raise UsageError("the cloud is not open")
        return self._session

    @property
    def registrar(self) -> Registrar:
        """Registration, the four ways."""
        if self._registrar is None:
            raise UsageError("the cloud is not open")
        return self._registrar

    @property
    def endpoint(self) -> Endpoint:
        """The MQTT endpoint of an emulated rig."""
        if self._endpoint is None:
            raise UsageError("this rig's endpoint is not ours")
        return self._endpoint

    @property
    def host(self) -> str:
        """Name of the endpoint, as ``describe_endpoint`` gives it."""
        return self.session.endpoint()
