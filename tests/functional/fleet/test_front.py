"""What stands before the API of a fleet where it is configured: a proxy's word, other sites' pages, a rate."""

import re
from typing import Any

import requests

from tests.functional.fleet.conftest import QUICK, MakeFleet
from tests.functional.fleet.test_lost_node import pytestmark as parts
from tests.functional.fleet.test_lost_node import until
from tests.lab.daemon import PATIENCE

pytestmark = parts

PAGE = "https://console.example"


def page(url: str, method: str = "GET", **headers: str) -> requests.Response:
    told: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, url, headers=told, timeout=PATIENCE)


def test_nobody_but_a_configured_proxy_is_believed_and_no_page_is_let_in(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    forged = page(fleet.url, X_Forwarded_Host="evil.example", X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.9")
    assert "evil.example" not in forged.text
    assert fleet.url in forged.text
    preflight = page(f"{fleet.url}/v3/volumes", "OPTIONS", Origin=PAGE, Access_Control_Request_Method="GET")
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]


def test_what_stands_before_the_api_is_as_configured(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(
        configuration=QUICK
        + f"[api]\ntrust_proxy_headers = true\nrate_limit = 0.001\n[cors]\nallowed_origin = {PAGE}\n"
    )
    told = {"X_Forwarded_Host": "api.example", "X_Forwarded_Proto": "https", "X_Forwarded_For": "10.1.1.1, 192.0.2.9"}
    assert "https://api.example/v3" in page(fleet.url, **told).text
    page(f"{fleet.url}/v3/volumes", "POST", X_Auth_Token="u:elsewhere", **told)
    until(lambda: re.search(r"POST /v3/volumes from 192\.0\.2\.9: 400", fleet.output()))

    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "X-Auth-Token"}
    preflight = page(f"{fleet.url}/v3/volumes", "OPTIONS", Origin=PAGE, **asks)
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-Auth-Token" in preflight.headers["Access-Control-Allow-Headers"]
    other = page(f"{fleet.url}/v3/volumes", "OPTIONS", Origin="https://x.example", Access_Control_Request_Method="GET")
    assert "Access-Control-Allow-Origin" not in other.headers
    stranger = page(f"{fleet.url}/v3/volumes", Origin=PAGE)
    assert (stranger.status_code, stranger.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
    headers = {"X-Auth-Token": "u:streams", "Origin": PAGE, "Accept": "text/event-stream"}
    with requests.get(f"{fleet.url}/v3/events", headers=headers, stream=True, timeout=PATIENCE) as stream:
        assert stream.headers["Access-Control-Allow-Origin"] == PAGE
        assert next(stream.iter_content(1))

    assert page(f"{fleet.url}/v3/volumes", X_Auth_Token="u:busy").status_code == 200
    refused = page(f"{fleet.url}/v3/volumes", X_Auth_Token="u:busy")
    assert refused.json()["overLimit"]["code"] == refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 1000
    assert page(f"{fleet.url}/v3/volumes", X_Auth_Token="u:calm").status_code == 200
