from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hil.cli.cert import command as cert
from hil.element.certificates.certificate import pem
from hil.emulator.factory import FactoryCa, FactoryKey, seeded_scalar
from hil.errors import CertificateError, UsageError

TRUST = Path(__file__).parents[2] / "rigs" / "trust"
DEVICE, SIGNER = (
    TRUST / "device-template-atecc608a-mah4i.pem",
    TRUST / "crypto-authentication-signer-2c10.pem",
)
ROOT = TRUST / "crypto-authentication-root-ca-002.pem"
DURING = ("--at", "2025-01-31T12:00:00")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cert, [str(arg) for arg in args])


def test_show_prints_names_as_openssl_does_and_survives_an_odd_extension() -> None:
    result = run("show", TRUST / "device-template-atecc608b-tngtls.pem", ROOT)
    assert result.exit_code == 0
    assert "issuer      O = Microchip Technology Inc, CN = Crypto Authentication Signer 2700" in result.output
    assert "root        genuine Microchip" in result.output


def test_verify_uses_microchips_roots_when_none_is_given() -> None:
    result = run("verify", DEVICE, SIGNER, *DURING)
    assert result.exit_code == 0
    assert "chain good, root: genuine Microchip" in result.output
    assert run("verify", DEVICE, SIGNER, ROOT, *DURING).exit_code == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((DEVICE, TRUST / "atecc-1h-signer-218b.pem", *DURING), "REFUSED signature"),
        ((DEVICE, SIGNER, TRUST / "atecc-root-ca-001.pem", *DURING), "REFUSED issuer name"),
        ((DEVICE, SIGNER, "--at", "2019-01-01"), "not yet valid"),
        ((DEVICE, SIGNER, "--slot-key", "00" * 64, *DURING), "REFUSED key of the slot"),
    ],
)
def test_verify_exits_with_the_certificate_code_for_a_bad_chain(
    args: tuple[str | Path, ...], says: str
) -> None:
    result = run("verify", *args)
    assert result.exit_code == CertificateError.exit_code
    assert says in result.output


def test_a_synthetic_chain_is_good_under_its_own_root_only_and_says_so(tmp_path: Path) -> None:
    ca = FactoryCa()
    key = FactoryKey.from_scalar(seeded_scalar("test", "cli")).public_key()
    serial = bytes.fromhex("0123e07e0000063501")
    chain = {"d": ca.device(serial, key, template=2)[1], "s": ca.signer().certificate, "r": ca.root}
    files = [tmp_path / f"{name}.pem" for name in chain]
    for file, data in zip(files, chain.values(), strict=True):
        file.write_text(pem(data))
    good = run("verify", *files, *DURING)
    assert good.exit_code == 0
    assert "synthetic (emulated parts); the chain says nothing about a genuine part" in good.output
    assert run("verify", *files[:2], *DURING).exit_code == CertificateError.exit_code


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("show", TRUST / "absent.pem"), UsageError),
        (("show", TRUST / "README.md"), CertificateError),
        (("verify", DEVICE, SIGNER, "--at", "soon"), UsageError),
        (("verify", DEVICE, SIGNER, "--slot-key", "00"), UsageError),
        (("verify", DEVICE, SIGNER, "--slot-key", "xx"), UsageError),
    ],
)
def test_bad_input_is_one_error_of_ours(args: tuple[str | Path, ...], error: type[Exception]) -> None:
    assert isinstance(run(*args).exception, error)
