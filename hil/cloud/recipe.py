"""What to tell a physical board so that it meets an endpoint of this computer."""

from __future__ import annotations

__all__ = ["board_recipe"]

_TEXT = """\
A board in the same network meets this endpoint so:
  1. The board finds this computer under the host of {server}. Prefer a name of your DNS or router: older
     mbedTLS does not compare IP addresses with certificates.
  2. Write `ca_pem` of the line above to ca.pem and put it onto the board: mos put ca.pem
  3. Register the board's certificate with the control plane above, for example from another terminal:
     aws iot register-certificate-without-ca --certificate-pem file://device.crt.pem --status ACTIVE
     and attach a policy and a thing. Put the certificate onto the board: mos put device.crt.pem
  4. mos config-set mqtt.enable=true mqtt.server={server} mqtt.ssl_ca_cert=ca.pem \\
       mqtt.ssl_cert=device.crt.pem mqtt.ssl_key=ATCA:0
A board whose configuration names the host of AWS ({aws_host}) comes here as well if its DNS sends that
name to this computer and the port is 8883.
"""


def board_recipe(server: str, *, aws_host: str) -> str:
    """The steps for a board with Mongoose OS.

    Args:
        server: ``host:port`` under which the board finds this computer.
        aws_host: the name that ``DescribeEndpoint`` gives.
    """
    return _TEXT.format(server=server, aws_host=aws_host)
