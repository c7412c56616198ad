"""The control plane as independent programs see it: the AWS CLI and OpenSSL, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hil.cloud.local.server import LocalCloudServer

if TYPE_CHECKING:
    from collections.abc import Iterator

AWS = shutil.which("aws", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
OPENSSL = shutil.which("openssl")

pytestmark = [
    pytest.mark.skipif(AWS is None, reason="the AWS CLI is not installed"),
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}'


class Shell:
    """Runs programs in a folder, with the environment that children of ours get."""

    def __init__(self, server: LocalCloudServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._environment = server.child_environment(os.environ)

    def run(self, *command: str | None) -> subprocess.CompletedProcess[str]:
        assert all(command)
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def aws(self, *arguments: str) -> dict[str, Any]:
        done = self.run(AWS, "iot", *arguments, "--output", "json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
        return answer

    def aws_refused(self, *arguments: str) -> str:
        done = self.run(AWS, "iot", *arguments)
        assert done.returncode in (254, 255), f"{done.returncode}: {done.stdout}"  # version 2 and 1
        return done.stderr

    def openssl(self, arguments: str) -> str:
        done = self.run(OPENSSL, *arguments.split())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def key(self, name: str) -> None:
        self.openssl(f"ecparam -name prime256v1 -genkey -noout -out {name}.key")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalCloudServer]:
    with LocalCloudServer() as server:
        yield server


@pytest.fixture
def shell(server: LocalCloudServer, tmp_path: Path) -> Shell:
    server.cloud.backend.reset()
    return Shell(server, tmp_path)


def test_a_csr_of_openssl_becomes_a_certificate_with_its_key(shell: Shell) -> None:
    shell.key("device")
    shell.openssl("req -new -key device.key -subj /CN=test-device -out device.csr")
    made = shell.aws(
        "create-certificate-from-csr",
        "--certificate-signing-request",
        "file://device.csr",
        "--set-as-active",
        "--certificate-pem-outfile",
        "device.pem",
    )
    wanted = shell.openssl("ec -in device.key -pubout")
    assert shell.openssl("x509 -in device.pem -noout -pubkey") == wanted
    shell.openssl("x509 -in device.pem -outform DER -out device.der")
    assert shell.openssl("dgst -sha256 -r device.der").split()[0] == made["certificateId"]
    assert "Dec 31 23:59:59 2049 GMT" in shell.openssl("x509 -in device.pem -noout -enddate")

    shell.aws("create-thing", "--thing-name", "hil-cli")
    shell.aws("create-policy", "--policy-name", "hil-cli", "--policy-document", POLICY)
    shell.aws("attach-policy", "--policy-name", "hil-cli", "--target", made["certificateArn"])
    shell.aws("attach-thing-principal", "--thing-name", "hil-cli", "--principal", made["certificateArn"])
    record = shell.server.cloud.registry.certificate(made["certificateId"])
    assert record is not None
    assert (record.status, record.policies) == ("ACTIVE", (POLICY,))
    assert [thing.name for thing in record.things] == ["hil-cli"]

    shell.aws("update-certificate", "--certificate-id", made["certificateId"], "--new-status", "REVOKED")
    refused = shell.aws_refused(
        "update-certificate", "--certificate-id", made["certificateId"], "--new-status", "ACTIVE"
    )
    assert "CertificateStateException" in refused


def test_a_ca_made_by_openssl_is_registered_by_its_proof(shell: Shell) -> None:
    code = shell.aws("get-registration-code")["registrationCode"]
    for name in ("ca", "proof", "device"):
        shell.key(name)
    shell.openssl("req -x509 -new -key ca.key -subj /CN=test-ca -days 30 -out ca.pem")
    for name, subject in (("proof", code), ("device", "test-device")):
        shell.openssl(f"req -new -key {name}.key -subj /CN={subject} -out {name}.csr")
        shell.openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out {name}.pem"
        )
    arguments = ("register-ca-certificate", "--ca-certificate", "file://ca.pem", "--set-as-active")
    refused = shell.aws_refused(*arguments, "--verification-certificate", "file://device.pem")
    assert "RegistrationCodeValidationException" in refused
    ca = shell.aws(*arguments, "--verification-certificate", "file://proof.pem")
    made = shell.aws(
        "register-certificate",
        "--certificate-pem",
        "file://device.pem",
        "--ca-certificate-pem",
        "file://ca.pem",
        "--status",
        "ACTIVE",
    )
    listed = shell.aws("list-certificates-by-ca", "--ca-certificate-id", ca["certificateId"])["certificates"]
    assert [entry["certificateId"] for entry in listed] == [made["certificateId"]]


def test_any_certificate_is_registered_without_a_ca(shell: Shell) -> None:
    shell.key("device")
    shell.openssl("req -x509 -new -key device.key -subj /CN=test.acme.com -days 30 -out device.pem")
    arguments = ("register-certificate-without-ca", "--certificate-pem", "file://device.pem")
    made = shell.aws(*arguments, "--status", "ACTIVE")
    described = shell.aws("describe-certificate", "--certificate-id", made["certificateId"])
    assert described["certificateDescription"]["certificateMode"] == "SNI_ONLY"
    assert "ResourceAlreadyExistsException" in shell.aws_refused(*arguments)
    endpoint = shell.aws("describe-endpoint", "--endpoint-type", "iot:Data-ATS")["endpointAddress"]
    assert endpoint == shell.server.cloud.endpoint


def test_a_child_with_a_scrubbed_environment_has_made_up_credentials_and_no_profile(shell: Shell) -> None:
    from hil.cloud.awsguard import scrubbed_environment

    environment = scrubbed_environment(os.environ | {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_PROFILE": "x"})
    done = subprocess.run(
        [str(AWS), "configure", "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    words = done.stdout.split()
    assert words[words.index("access_key") + 1].endswith("ting")
    assert words[words.index("profile") + 1] == "<not"
