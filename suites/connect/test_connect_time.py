"""How long connecting takes, who does what of it, and whether the board comes back by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import load_pem_x509_certificates

from hil import homes
from hil.cloud.pem import load_certificate, to_der
from hil.connecttime.anatomy import bus_bytes
from hil.connecttime.findings import placement, words
from hil.connecttime.record import provenance
from hil.connecttime.regression import baseline_name, observe, regressions
from hil.connecttime.sampler import Sampler
from hil.connecttime.scenario import SCENARIOS, Case, not_applicable
from hil.connecttime.study import attach_samples, attach_waterfall, study
from hil.element.keys import ElementEcdh, ElementRandom, ElementSigningKey, ElementVerify
from hil.errors import DeviceError
from hil.measure.measurement import Limit
from hil.measure.statistics import Standing, summarize
from hil.records.baseline import find_baseline
from hil.rig.endpoint import address_of
from hil.tls.client import connect
from hil.tls.key import Offload
from hil.wire.mqtt import ConnAck, Connect, Decoder, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.connecttime.sampler import Attempt, Start
    from hil.connecttime.study import Study
    from hil.element.device import Element
    from hil.measure.measurement import Measurements
    from hil.rig.cloud import RigCloud
    from hil.rig.rig import Rig
    from hil.tls.client import Version
    from hil.wire.mqtt import Packet

pytestmark = pytest.mark.needs("mqtt", "cloud", "sign", element="provisioned")

NOBODY = 0x08
"""An address that the I2C specification reserves: nobody answers."""
DOWN_US = 20_000_000
SILENCE_US = 300_000_000
"""Longer than one and a half keep-alive times, after which a lost connection is noticed."""
ANSWER_US = 30_000_000


@pytest.fixture(scope="module")
def sampler(rig: Rig) -> Iterator[Sampler]:
    """Lets the board connect as a case says; afterwards it connects no more."""
    rig.element_in("provisioned")
    made = Sampler(rig)
    yield made
    made.restore()


@pytest.fixture(scope="module")
def studied(rig: Rig, sampler: Sampler) -> Study:
    """The claim itself, sampled: everything that an element can do, done by the element."""
    case = Case(SCENARIOS["element"], rig.file.connect.tls_versions[0])
    reason = not_applicable(rig.file, case)
    if reason is not None:
        pytest.skip(f"not applicable: {reason}")
    return study(sampler, case, rig.file.connect.samples, start=usual_start(rig))


def usual_start(rig: Rig) -> Start:
    """Only an endpoint of ours closes connections on demand."""
    return "reconnect" if rig.cloud.serves else "power-on"


@pytest.fixture
def prepared(rig: Rig, element: Element, sampler: Sampler) -> Sampler:
    """The board, connected with the key of its element, before an endpoint of ours."""
    if not rig.cloud.serves:
        pytest.skip("not applicable: the board meets an endpoint that is not this program's")
    sampler.prepare(Case(SCENARIOS["element"], rig.file.connect.tls_versions[0]))
    sampler.take(1)
    return sampler


def came_back(attempt: Attempt) -> None:
    """It is connected, and still the element did its work."""
    connack = attempt.connection.connack
    assert connack == 0, attempt.connection.explain()
    wrong = placement([attempt.connection])
    assert not wrong, "; ".join(map(str, wrong))


@pytest.mark.req("HIL-CONN-020")
def test_samples_of_the_connect_time_stay_below_the_limit(
    rig: Rig, studied: Study, measure: Measurements, request: pytest.FixtureRequest
) -> None:
    attach_samples(rig.journal, request.node.nodeid, [studied])
    if studied.anatomy is not None:
        attach_waterfall(rig.journal, request.node.nodeid, studied.anatomy.waterfall)
    sample, connected = studied.sampled.sample, len(studied.sampled.connections)
    assert connected, studied.sampled.failure
    figures, settings = summarize(sample), rig.file.connect
    limit = Limit(high=settings.limit_ms, warn_high=settings.warn_ms)
    source = provenance(studied)
    n = sample.n
    measure.record("connect time, median", figures.median, "ms", key=True, provenance=source, samples=n)
    measure.record("connect time, p95", figures.p95, "ms", limit, key=True, provenance=source, samples=n)
    measure.record("connections without CONNACK", sample.timeouts, "", Limit(high=0))


@pytest.mark.req("HIL-CONN-021")
@pytest.mark.needs("physical")
def test_the_claim_is_accepted(rig: Rig, studied: Study) -> None:
    """Only hardware can show it; an emulated rig predicts."""
    claim = studied.claim
    assert claim is not None, studied.sampled.failure
    if claim.standing is Standing.NOT_SHOWN and claim.n < 29:
        pytest.skip(f"{claim.n} connections show nothing: take 59 (`connect.samples`) or `--plan nightly`")
    assert claim.standing is Standing.SHOWN, words(claim)


PHASES = {
    "connect": "HIL-CONN-022",
    "sign": "HIL-CONN-023",
    "ecdh": "HIL-CONN-024",
    "verify": "HIL-CONN-025",
    "element": "HIL-CONN-026",
    "mqtt": "HIL-CONN-027",
}
"""What the element does, how fast it is by its data sheet, and how soon CONNECT follows."""


@pytest.mark.parametrize(
    "phase", [pytest.param(phase, marks=pytest.mark.req(req)) for phase, req in PHASES.items()]
)
def test_nothing_is_wrong_with_the_phase(studied: Study, phase: str) -> None:
    """Counts and places of operations, the element's own speed, and what is held back."""
    said = [finding.text for finding in studied.findings if finding.phase == phase]
    assert not said, f"{phase}: {'; '.join(said)}"


@pytest.mark.req("HIL-CONN-028")
def test_bytes_on_the_bus_of_one_connect(studied: Study, measure: Measurements) -> None:
    if studied.anatomy is None or studied.anatomy.transactions is None:
        pytest.skip("not applicable: nobody watches the element's bus while the firmware uses it")
    measure.record("bytes on the bus, one connect", bus_bytes(studied.anatomy.transactions), "bytes")


@pytest.mark.req("HIL-CONN-029")
def test_nothing_got_worse_since_the_baseline(rig: Rig, studied: Study) -> None:
    base = find_baseline(homes.find_homes().baselines, *baseline_name(rig))
    if base is None:
        pytest.skip(f"no baseline of this rig and revision: `hil connect {rig.name} --approve WHO` makes one")
    worse = regressions(base, observe(rig, [studied]))
    assert not worse, "; ".join(worse)


@pytest.mark.req("HIL-CONN-030")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("chain", ["element", "element-rsa-chain"], ids=["ec-chain", "rsa-chain"])
def test_every_server_chain_is_accepted(
    rig: Rig, element: Element, sampler: Sampler, version: Version, chain: str, measure: Measurements
) -> None:
    """AWS shows an EC or an RSA chain, by what the client prefers: both have to do."""
    case = Case(SCENARIOS[chain], version)
    reason = not_applicable(rig.file, case)
    if reason is not None:
        pytest.skip(f"not applicable: {reason}")
    sampler.prepare(case)
    attempt = sampler.take(1, usual_start(rig)).attempts[0]
    came_back(attempt)
    measure.record("connect time", attempt.connection.duration_us / 1000, "ms")


@pytest.mark.req("HIL-CONN-031")
def test_the_first_connect_after_power_on(prepared: Sampler, measure: Measurements) -> None:
    attempt = prepared.take(1, "power-on").attempts[0]
    came_back(attempt)
    assert attempt.power_on_us is not None
    measure.record("power-on to CONNACK", attempt.power_on_us / 1000, "ms", key=True)


@pytest.mark.req("HIL-CONN-032")
def test_it_comes_back_after_a_restart_of_the_broker(rig: Rig, prepared: Sampler) -> None:
    since = prepared.since()
    with rig.cloud.mqtt.stopped():
        rig.cloud.mqtt.wait(lambda: False, DOWN_US)
    came_back(prepared.recovered(since))


@pytest.mark.req("HIL-CONN-033")
def test_it_comes_back_after_a_loss_of_the_wifi(rig: Rig, prepared: Sampler) -> None:
    if rig.emulated is None:
        pytest.skip("not applicable: the access point of a physical rig cannot be switched from here")
    since = prepared.since()
    lost = rig.cloud.endpoint.logs[-1]
    with rig.net.out_of_reach():
        assert rig.cloud.mqtt.wait(lambda: lost.closed_us is not None, SILENCE_US)
        rig.cloud.mqtt.wait(lambda: False, DOWN_US)
    came_back(prepared.recovered(since))


@pytest.mark.req("HIL-CONN-034")
def test_it_connects_with_an_element_that_slept(rig: Rig, element: Element, prepared: Sampler) -> None:
    """Sleep takes TempKey and everything else that is volatile."""
    element.info_revision()  # the driver puts the element to sleep behind it
    came_back(prepared.take(1).attempts[0])


@pytest.mark.req("HIL-CONN-035")
def test_it_connects_while_the_bus_is_busy(rig: Rig, prepared: Sampler) -> None:
    """Somebody else uses the bus between the element's commands."""
    board, since = rig.booted_board(), prepared.since()
    served = rig.cloud.connection_count
    rig.cloud.mqtt.disconnect()
    others = 0
    while not any(log.verdict == "accepted" for log in rig.cloud.endpoint.logs[served:]):
        with pytest.raises(DeviceError):
            board.i2c_read(NOBODY, 1)
        others += 1
        assert others < 5_000, "the board did not connect again"
    came_back(prepared.recovered(since))


@pytest.mark.req("HIL-CONN-036")
def test_the_element_signs_for_a_connection_of_the_host(rig: Rig, cloud: RigCloud, element: Element) -> None:
    """The key does not care whose connection it is: here this computer's, through the board's bus."""
    registration = cloud.register(element)
    ecdh = None if element.is_508 else ElementEcdh(element)  # a 508A has no ephemeral key
    offload = Offload(ElementSigningKey(element, 0), ecdh, ElementVerify(element), ElementRandom(element))
    connection = connect(
        rig.net.dial(*address_of(cloud.server)),
        server_name=cloud.host,
        roots=load_pem_x509_certificates(cloud.roots()),
        chain=[to_der(load_certificate(registration.pem))],
        offload=offload,
        calendar=rig.calendar,
        versions=rig.file.connect.tls_versions[:1],
    )
    connection.send(encode(Connect(registration.thing, clean_session=True, keep_alive=60)))
    decoder = Decoder()
    answers: list[Packet] = []
    while not answers:
        data = connection.recv(deadline=rig.clock.now + ANSWER_US)
        assert data, "the endpoint closed the connection instead of sending CONNACK"
        answers += decoder.feed(data)
    connection.close()
    assert isinstance(answers[0], ConnAck)
    assert answers[0].code == 0
    done = [one.name for one in connection.operations if one.where == "element"]
    assert done.count("sign") == 1, done
