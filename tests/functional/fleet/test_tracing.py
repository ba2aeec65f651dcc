"""Spans of a request through the services of a fleet, as a collector gets them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.fleet.conftest import QUICK, MakeFleet
from tests.lab.collector import Collector, Span
from tests.lab.faulty_driver import Faults

#: A client's span, in W3C's words: its trace, itself, and that it is sampled.
TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FAULTY = QUICK + "volume_driver = tests.lab.faulty_driver.FaultyDriver\n"


def path_to(span: Span, spans: list[Span]) -> list[str]:
    """The names of the spans above this one, the outermost first, and its own."""
    above = [each for each in spans if each.id == span.parent]
    return [*(path_to(above[0], spans) if above else []), f"{span.service} {span.name}"]


@pytest.mark.part("rabbitmq-server")
@pytest.mark.part("postgres")
def test_a_request_is_one_trace_through_every_service_also_when_it_is_resumed(make_fleet: MakeFleet) -> None:
    with Collector().running() as collector:
        fleet = make_fleet(configuration=f"{FAULTY}[tracing]\nendpoint = {collector.endpoint}\n")
        faults = Faults(fleet.state, "file")
        with fleet.session() as rest:
            rest.make_volume()
            faults.order("create", None, kills=True)
            headers = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}
            asked = rest.post(
                "/volumes", json={"volume": {"size": 1, "name": "whose name is no span's"}}, headers=headers
            )
            rest.wait_for_status(f"/volumes/{asked.json()['volume']['id']}", "available")
            assert rest.get("/scheduler-stats/get_pools", headers=headers).status_code == 200
        assert fleet.stop() == 0
    spans = [each for each in collector.spans if each.trace == TRACE]
    api, step = "volumed-api POST /v3/volumes", "volumed-volume step"
    paths = [path_to(span, spans) for span in spans]
    assert [api, "volumed-scheduler place"] in paths
    # The process that died took its spans with it.
    assert paths.count([api, "volumed-volume volume.create"]) == 1
    assert [api, "volumed-volume volume.create", f"{step} provision"] in paths
    assert ["volumed-api GET /v3/scheduler-stats/get_pools", "volumed-scheduler rpc get_pools"] in paths
    (request,) = (span for span in spans if span.name == "POST /v3/volumes")
    assert request.parent == CLIENT
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["volumed.request_id"] == asked.headers["x-openstack-request-id"]
    (created,) = (span for span in spans if span.name == "volume.create")
    assert created.attributes["volumed.operation_id"] == asked.headers["Volumed-Operation-Id"]
    assert created.attributes["volumed.claims"] == 2
    assert "whose name" not in str(collector.spans)


def test_without_opentelemetry_the_option_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "volumed.conf"
    path.touch(mode=0o600)
    path.write_text(
        "[DEFAULT]\ntransport_url = rabbit://h:9/\n[database]\nsecrets_key_file = /nowhere\n"
        "[tracing]\nendpoint = http://127.0.0.1:9/v1/traces\n"
    )
    without = "import sys; sys.modules['opentelemetry'] = None; from volumed.cmd import service; service.scheduler()"
    done = subprocess.run(
        [sys.executable, "-c", without, "--config-file", str(path)], capture_output=True, text=True, timeout=60
    )
    assert "[tracing] endpoint: it needs OpenTelemetry, the extra volumed[otel]" in done.stderr
