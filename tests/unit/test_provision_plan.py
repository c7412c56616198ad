"""Plan files: what they may say, and every mistake told with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hil.cli.provision import command
from hil.errors import ConfigError
from hil.provision.plan import Plan, default_plan, load_plan
from hil.rigfile import load

DOCS = Path(__file__).parents[2] / "docs"

FULL = """\
config: mongoose-os-test
accepted_findings: ["readable-kek:15"]
exceptions: [lock-data-without-crc]
data:
- {slot: 8, file: "{serial}/device.crt.der"}
- {slot: 10, file: /etc/hil/signer.der}
kek: {slot: 4, file: kek.hex}
key: {slot: 0, file: "{serial}.pem", password: {env: KEY_PASSWORD}, replace: true}
certificate:
  file: "{serial}.crt"
  subject: /O=ACME Ltd/CN=board
  days: 30
  dns_names: [board.example]
  authority: {certificate: ca.pem, key: ca.key, password: {file: ca.password}}
upload: device.crt.pem
https: {listen: ":8443"}
mqtt: {server: "broker.example:8883", roots: roots.pem, client_id: board-7}
wifi: false
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_a_plan_can_say_is_read(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, FULL))
    assert plan.folder == tmp_path
    assert (plan.config, plan.exceptions, plan.wifi) == (
        "mongoose-os-test",
        ("lock-data-without-crc",),
        False,
    )
    assert [content.slot for content in plan.data] == [8, 10]
    assert plan.key.replace
    assert str(plan.key.password) == "{env: KEY_PASSWORD}"
    assert plan.certificate.authority is not None
    assert plan.certificate.authority.certificate == "ca.pem"
    assert plan.certificate.dns_names == ("board.example",)
    assert plan.https is not None
    assert plan.https.listen == ":8443"
    assert plan.mqtt is not None
    assert (plan.mqtt.server, plan.mqtt.client_id) == ("broker.example:8883", "board-7")


def test_an_empty_plan_is_the_articles_procedure(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, "{}"))
    assert plan == Plan(folder=tmp_path)
    assert (plan.kek.slot, plan.key.slot, plan.upload) == (4, 0, "ecc.crt.pem")
    assert plan.certificate.subject == "/C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com"
    assert plan.https is not None
    assert plan.https.listen == ":443"
    assert plan.mqtt is None
    assert default_plan().folder.name == "provisioned"


def test_paths_count_from_the_plan_and_carry_the_serial_number(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, FULL))
    assert plan.files("0123e07e00000001ee") == {
        "key-encryption key": tmp_path / "kek.hex",
        "private key": tmp_path / "0123e07e00000001ee.pem",
        "certificate": tmp_path / "0123e07e00000001ee.crt",
    }
    assert plan.path(plan.data[1].file, "x") == Path("/etc/hil/signer.der")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kee: {}", r"plan\.yaml:1:1: unknown key 'kee'"),
        ("kek: {slot: 16}", r"plan\.yaml:1:13: .*16"),
        ("key: {slot: zero}", r"plan\.yaml:1:13: "),
        ("key: {password: hunter2}", r"plan\.yaml:1:17: "),
        ("mqtt: {server: broker.example, roots: r.pem}", "host:port"),
        ("mqtt: {server: 'b.example:8883'}", "roots"),
        (
            "exceptions: [lock-everything]",
            "there is no exception 'lock-everything'; known: lock-data-without",
        ),
        ("data: [{slot: 8, file: a}, {slot: 8, file: b}]", "slot 8 is filled twice"),
        ("data: [{slot: 4, file: a}]", "slot 4 is the key-encryption key's"),
        ("kek: {slot: 0}", "cannot be in the same slot"),
        ("upload: null", "HTTPS needs the certificate on the board"),
        (
            "upload: null\nhttps: null\nmqtt: {server: 'b:1', roots: r}",
            "MQTT needs the certificate on the board",
        ),
        ("certificate: {days: 0}", r"plan\.yaml:1:21: "),
        ("a: [", r"plan\.yaml:"),
        ("- 1", r"plan\.yaml:1:1: "),
    ],
)
def test_a_mistake_is_told_with_its_place_and_before_anything_is_opened(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_plan(written(tmp_path, text))


def test_a_password_in_the_plan_itself_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(written(tmp_path, "key: {password: hunter2}"))
    assert "hunter2" not in str(caught.value)


def test_all_mistakes_of_a_plan_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(written(tmp_path, "kek: {slot: 99}\nkey: {slot: -1}\nupload: 7up/\ncertificate: {dayz: 3}"))
    said = str(caught.value)
    assert all(f"plan.yaml:{line}:" in said for line in (1, 2, 4))


def test_a_plan_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_plan(tmp_path / "absent.yaml")


def test_the_files_in_the_how_to_are_right(tmp_path: Path) -> None:
    page = (DOCS / "howto" / "provision-a-board.md").read_text(encoding="utf-8")
    rig, plan = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "bench-7.yaml").write_text(rig, encoding="utf-8")
    file = load(tmp_path / "bench-7.yaml")
    assert (file.rig, file.element.expendable) == ("bench-7", True)
    read = load_plan(written(tmp_path, plan))
    assert read.mqtt is not None
    assert read.certificate.authority is not None
    for option in re.findall(r"--[a-z-]+", " ".join(re.findall(r"hil provision .*", page))):
        assert any(option in name.opts + name.secondary_opts for name in command.params), option
