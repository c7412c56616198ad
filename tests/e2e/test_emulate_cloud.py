"""The cloud of ``hil emulate`` as Amazon's own tool and foreign MQTT clients see it."""

from __future__ import annotations

import json
import os
import queue
import select
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from hil.cloud.awsguard import scrubbed_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

RIG = "emulated-esp8266-atecc508a"
PATIENCE_S = 60
AWS = shutil.which("aws", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
needs_aws = pytest.mark.skipif(AWS is None, reason="the AWS CLI is not installed")
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/bench-*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": "arn:aws:iot:*:*:topic/bench/*",
        },
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topicfilter/bench/*"},
    ],
}


@dataclass(frozen=True)
class Bench:
    """An emulated rig in a process of its own, and a folder with what the AWS CLI made there."""

    addresses: dict[str, Any]
    folder: Path

    @property
    def port(self) -> int:
        return int(self.addresses["mqtt"]["port"])

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            env=scrubbed_environment(
                os.environ,
                region=self.addresses["aws"]["region"],
                endpoint_url=self.addresses["aws"]["endpoint_url"],
            ),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def aws(self, *arguments: str) -> dict[str, Any]:
        answer = self.run(str(AWS), "iot", *arguments, "--output", "json")
        return dict(json.loads(answer)) if answer.strip() else {}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    process = subprocess.Popen(
        [sys.executable, "-c", "from hil.cli import main; main()", "emulate", RIG],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "hil emulate does not say where it is"
        yield Bench(json.loads(process.stdout.readline()), folder)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def registered(bench: Bench) -> str:
    """ID of a certificate that the AWS CLI made, with a policy; it and its key are files of the bench."""
    made = bench.aws(
        "create-keys-and-certificate", "--set-as-active",
        "--certificate-pem-outfile", "device.pem", "--private-key-outfile", "device.key",
    )  # fmt: skip
    assert made["certificateArn"].split(":")[4] == bench.addresses["aws"]["account_id"]
    (bench.folder / "policy.json").write_text(json.dumps(POLICY))
    bench.aws("create-policy", "--policy-name", "bench", "--policy-document", "file://policy.json")
    bench.aws("attach-policy", "--policy-name", "bench", "--target", made["certificateArn"])
    (bench.folder / "roots.pem").write_text(bench.addresses["mqtt"]["ca_pem"])
    return str(made["certificateId"])


class Listener:
    """A paho client whose callbacks come out of a queue."""

    def __init__(self, bench: Bench) -> None:
        context = ssl.create_default_context(cafile=str(bench.folder / "roots.pem"))
        context.load_cert_chain(bench.folder / "device.pem", bench.folder / "device.key")
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        put = self.events.put
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="bench-paho", reconnect_on_failure=False
        )
        self.client.tls_set_context(context)
        self.client.on_connect = lambda c, u, flags, reason, properties: put(("connect", reason.value))
        self.client.on_subscribe = lambda c, u, mid, reasons, properties: put(("subscribe", reasons[0].value))
        self.client.on_message = lambda c, u, message: put(("message", (message.topic, message.payload)))
        self.client.on_disconnect = lambda *_: put(("disconnect", None))
        self.client.connect("localhost", bench.port, keepalive=60)
        self.client.loop_start()

    def subscribe(self, name: str) -> None:
        assert self.next() == ("connect", 0)
        self.client.subscribe(name, qos=1)
        assert self.next() == ("subscribe", 1)

    def next(self) -> tuple[str, Any]:
        return self.events.get(timeout=PATIENCE_S)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@needs_aws
def test_what_the_aws_cli_registered_lets_paho_in(bench: Bench, registered: str) -> None:
    with Listener(bench) as listener:
        listener.subscribe("bench/#")
        listener.client.publish("bench/paho", b"from paho", qos=1)
        assert listener.next() == ("message", ("bench/paho", b"from paho"))


@needs_aws
@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients is not installed")
def test_what_mosquitto_publishes_reaches_paho(bench: Bench, registered: str) -> None:
    with Listener(bench) as listener:
        listener.subscribe("bench/+")
        bench.run(
            "mosquitto_pub", "-h", "localhost", "-p", str(bench.port), "--cafile", "roots.pem",
            "--cert", "device.pem", "--key", "device.key", "-i", "bench-mosquitto", "-q", "1",
            "-t", "bench/mosquitto", "-m", "from mosquitto",
        )  # fmt: skip
        assert listener.next() == ("message", ("bench/mosquitto", b"from mosquitto"))


@needs_aws
def test_what_the_aws_cli_locks_out_is_dropped_and_not_let_in_again(bench: Bench, registered: str) -> None:
    def status(new: str) -> None:
        bench.aws("update-certificate", "--certificate-id", registered, "--new-status", new)

    with Listener(bench) as listener:
        assert listener.next() == ("connect", 0)
        status("INACTIVE")
        try:
            assert listener.next() == ("disconnect", None)
            with Listener(bench) as refused:
                assert refused.next() == ("disconnect", None)
        finally:
            status("ACTIVE")
