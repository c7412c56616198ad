"""The provisioning plan: a declarative file that says what an element and its board shall hold.

Without a plan file the first article's procedure applies: the rig's element configuration, a
key-encryption key in slot 4, a P-256 key in slot 0, a self-signed certificate, HTTPS on port 443.
``{serial}`` in a path becomes the element's serial number, so that one plan serves a box of parts.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from hil.errors import ConfigError
from hil.guard.requirements import EXCEPTIONS
from hil.homes import find_homes
from hil.rigfile.binding import Binder, Key, Secret, parse

__all__ = ["Authority", "Certificate", "Content", "Https", "Kek", "Mqtt", "Plan", "PrivateKey", "load_plan"]

_PATH = "a path, relative to the plan file; {serial} becomes the element's serial number"


@dataclass(frozen=True, kw_only=True)
class Kek:
    """The key-encryption key."""

    slot: Annotated[int, Key("Its slot.", low=0, high=15)] = 4
    file: Annotated[str, Key(f"64 hex digits, made if it is not there: {_PATH}.")] = "{serial}/slot4.key"


@dataclass(frozen=True, kw_only=True)
class PrivateKey:
    """The private key."""

    slot: Annotated[int, Key("Its slot.", low=0, high=15)] = 0
    file: Annotated[
        str, Key(f"PEM (SEC1 or PKCS#8), DER or hex, made as PEM if it is not there: {_PATH}.")
    ] = "{serial}/ecc.key.pem"
    password: Annotated[Secret | None, Key("Of an encrypted key file.")] = None
    replace: Annotated[
        bool, Key("Another key that is in the slot may be destroyed. Without it that is an error.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A certificate authority of yours that signs the certificate."""

    certificate: Annotated[str, Key("Its certificate, PEM or DER; a path relative to the plan file.")]
    key: Annotated[str, Key("Its private key; a path relative to the plan file.")]
    password: Annotated[Secret | None, Key("Of an encrypted key file.")] = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The certificate of the private key."""

    file: Annotated[str, Key(f"PEM, made if it is not there: {_PATH}.")] = "{serial}/ecc.crt.pem"
    subject: Annotated[str, Key("Subject, e.g. /C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com.")] = (
        "/C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com"
    )
    days: Annotated[int, Key("How long it is valid.", low=1, high=36_500)] = 3650
    dns_names: Annotated[tuple[str, ...], Key("Host names for the subject alternative name.")] = ()
    authority: Annotated[Authority | None, Key("Who signs it; without this it is self-signed.")] = None


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a data slot holds when the data zone is locked."""

    slot: Annotated[int, Key("The slot.", low=0, high=15)]
    file: Annotated[str, Key(f"The bytes; zeros fill the rest of the slot: {_PATH}.")]


@dataclass(frozen=True, kw_only=True)
class Https:
    """The board's HTTPS server."""

    listen: Annotated[str, Key("Address and port, as the firmware takes it.")] = ":443"


@dataclass(frozen=True, kw_only=True)
class Mqtt:
    """The board's MQTT client."""

    server: Annotated[str, Key("host:port of the broker.", pattern=r"[^\s:]+:[0-9]{1,5}", form="host:port")]
    roots: Annotated[str, Key("Certificates of the roots to trust, PEM; a path relative to the plan file.")]
    client_id: Annotated[str | None, Key("Client id; default: the board's own device id.")] = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an element and its board shall hold.

    Attributes:
        folder: where relative paths count from.
    """

    config: Annotated[
        str | None,
        Key("The element's configuration: a name from the configs folder, or a file. Default: the rig's."),
    ] = None
    accepted_findings: Annotated[
        tuple[str, ...], Key("Findings of the configuration lint that were looked at and accepted, by id.")
    ] = ()
    exceptions: Annotated[
        tuple[str, ...],
        Key(f"What is allowed by name although the guard would refuse: {', '.join(EXCEPTIONS)}."),
    ] = ()
    data: Annotated[
        tuple[Content, ...], Key("Content of data slots at the data lock; all others are filled with zeros.")
    ] = ()
    kek: Annotated[Kek, Key("The key-encryption key.")] = Kek()
    key: Annotated[PrivateKey, Key("The private key.")] = PrivateKey()
    certificate: Annotated[Certificate, Key("The certificate of the private key.")] = Certificate()
    upload: Annotated[
        str | None, Key("Name of the certificate's file on the board; null: it is not uploaded.")
    ] = "ecc.crt.pem"
    https: Annotated[Https | None, Key("The board's HTTPS server; null: it is left alone.")] = Https()
    mqtt: Annotated[Mqtt | None, Key("The board's MQTT client; without this it is left alone.")] = None
    wifi: Annotated[
        bool, Key("With HTTPS or MQTT, let the board join the network that the rig file names.")
    ] = True
    folder: Path = Path()

    def password(self, secret: Secret | None) -> bytes | None:
        """A password of a key file, or None if there is none."""
        return None if secret is None else secret.value().encode()

    def files(self, serial: str) -> dict[str, Path]:
        """Where the keys and the certificate of an element lie."""
        return {
            "key-encryption key": self.path(self.kek.file, serial),
            "private key": self.path(self.key.file, serial),
            "certificate": self.path(self.certificate.file, serial),
        }

    def path(self, name: str, serial: str) -> Path:
        """A path of the plan for one element."""
        return self.folder / Path(name.replace("{serial}", serial)).expanduser()


def default_plan() -> Plan:
    """The first article's procedure; its files lie in the user's data folder."""
    return Plan(folder=find_homes().ledgers.parent / "provisioned")


def load_plan(path: Path) -> Plan:
    """Read and check a plan file.

    Raises:
        ConfigError: one message with ``file:line:column`` for every problem.
    """
    node = parse(path)
    binder = Binder(path, path.resolve().parent, "the plan")
    plan = replace(binder.bind(node, Plan), folder=path.resolve().parent)
    for name in plan.exceptions:
        if name not in EXCEPTIONS:
            binder.problem(("exceptions",), f"there is no exception {name!r}; known: {', '.join(EXCEPTIONS)}")
    slots = [content.slot for content in plan.data]
    for slot in sorted({slot for slot in slots if slots.count(slot) > 1}):
        binder.problem(("data",), f"slot {slot} is filled twice")
    if plan.kek.slot == plan.key.slot:
        binder.problem(("kek",), "key and key-encryption key cannot be in the same slot")
    if plan.kek.slot in slots:
        binder.problem(
            ("data",), f"slot {plan.kek.slot} is the key-encryption key's; its content is not given"
        )
    for user, settings in (("HTTPS", plan.https), ("MQTT", plan.mqtt)):
        if plan.upload is None and settings is not None:
            binder.problem(
                ("upload",),
                f"{user} needs the certificate on the board: name a file, or set {user.lower()} to null",
            )
    binder.check()
    return plan


def read_bytes(path: Path, what: str) -> bytes:
    """Content of a file that a plan names.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror or error}") from error
