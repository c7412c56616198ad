"""The same control plane for other programs: moto's HTTP server on loopback.

The AWS CLI, ``mos aws-iot-setup`` and boto3 of other processes reach it through ``AWS_ENDPOINT_URL``. It
works on the memory of the :class:`~hil.cloud.local.control.LocalCloud` that it serves, so what a program
registers is known to the MQTT endpoint at once. moto's ``server`` extra is not needed: its application
wants flask and flask-cors only.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from hil.cloud.awsguard import scrubbed_environment
from hil.cloud.local.control import LocalCloud
from hil.errors import PortError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from werkzeug.serving import BaseWSGIServer

__all__ = ["LocalCloudServer"]


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PortError(f"the control plane cannot listen on {host} port {port}: {error}") from error


class LocalCloudServer:
    """moto's server with the overlay; a context manager.

    Args:
        cloud: the account to serve; without one the server opens one of its own.
        host: a loopback address; nothing else is accepted, for the server asks no credentials.
        port: 0 picks a free one.
    """

    def __init__(self, cloud: LocalCloud | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise UsageError(
                f"the control plane would listen on {host}", hint="it asks no credentials: loopback only"
            )
        self._own = cloud is None
        self.cloud = cloud or LocalCloud()
        self._host = host
        self._port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LocalCloudServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> LocalCloudServer:
        """Listen; connections are accepted when this returns."""
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        class QuietHandler(MotoRequestHandler):
            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Requests are not logged; errors are."""

        if self._server is not None:
            return self
        application = DomainDispatcherApplication(create_backend_app)
        account = self.cloud.account_id

        def for_account(environ: dict[str, Any], start_response: Any) -> Any:  # noqa: ANN401  (WSGI)
            environ.setdefault("HTTP_X_MOTO_ACCOUNT_ID", account)
            return application(environ, start_response)

        # The socket is ours because werkzeug ends the process when the port is taken.
        with _listening(self._host, self._port) as listener:
            self._server = make_server(
                self._host,
                listener.getsockname()[1],
                for_account,
                threaded=True,
                request_handler=QuietHandler,
                fd=listener.fileno(),
            )
        if self._own:
            self.cloud.open()
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="moto", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and close the socket; the account goes if the server opened it."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None
        if self._own:
            self.cloud.close()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``, for ``AWS_ENDPOINT_URL`` and boto3's ``endpoint_url``."""
        if self._server is None:
            raise UsageError("the server is not running", hint="use it in a `with` statement")
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        return f"http://{host}:{self._server.port}"

    def child_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """``environment`` for a program that shall use this server and nothing else of AWS."""
        return scrubbed_environment(environment, region=self.cloud.region, endpoint_url=self.url)
