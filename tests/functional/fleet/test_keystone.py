"""Callers that a real keystone knows: projects, roles, tokens that count no longer, and a keystone that is away."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.functional.fleet.conftest import QUICK, MakeFleet, check
from tests.lab import keystone as lab
from tests.lab.daemon import MICROVERSION, PATIENCE, Session
from tests.lab.fleet import FleetDaemon
from tests.lab.keystone import Keystone

pytestmark = [
    pytest.mark.part("rabbitmq-server"),
    pytest.mark.part("postgres"),
    pytest.mark.part("keystone"),
    # Where everything must be there, keystone is installed by the first test.
    pytest.mark.timeout(1200),
]

PASSWORD = "lab-user"


@dataclass
class Cloud:
    """A keystone with the projects ``red`` and ``blue``: a reader and a member in red, a member in blue."""

    keystone: Keystone
    projects: dict[str, str]

    def configuration(self, more: str = "") -> str:
        return QUICK + (
            "[api]\nauth_strategy = keystone\n"
            "[keystone_authtoken]\nauth_type = password\nuser_domain_id = default\nproject_domain_id = default\n"
            f"auth_url = {self.keystone.url}\nwww_authenticate_uri = {self.keystone.url}\n"
            f"username = {lab.ADMIN}\npassword = {lab.PASSWORD}\nproject_name = {lab.ADMIN}\n{more}"
        )

    def token(self, user: str, project: str) -> str:
        return self.keystone.token(user, PASSWORD, project)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with lab.running() as keystone:
        administrator = keystone.administrator()
        projects = {name: administrator.make_project(name) for name in ("red", "blue")}
        for user, project in (("reader", "red"), ("member", "red"), ("stranger", "blue")):
            user_id = administrator.make_user(user, PASSWORD)
            administrator.grant(user_id, projects[project], "reader" if user == "reader" else "member")
        yield Cloud(keystone, projects)


def session(fleet: FleetDaemon, token: str) -> Session:
    return Session(fleet.url, token, MICROVERSION, fleet.watch)


def status(fleet: FleetDaemon, **headers: str) -> int:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(f"{fleet.url}/v3/volumes", headers=told, timeout=PATIENCE).status_code


def test_each_role_may_do_what_it_is_for_in_its_own_project(cloud: Cloud, make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=cloud.configuration())
    member, reader = (session(fleet, cloud.token(user, "red")) for user in ("member", "reader"))
    stranger = session(fleet, cloud.token("stranger", "blue"))
    administrator = session(fleet, cloud.keystone.token(lab.ADMIN, lab.PASSWORD, lab.ADMIN))
    system = session(fleet, cloud.keystone.token(lab.ADMIN, lab.PASSWORD, None))
    volume_id = member.make_volume()
    path = f"/volumes/{volume_id}"
    wanted = {"volume": {"size": 1}}

    assert reader.get(path).json()["volume"]["os-vol-tenant-attr:tenant_id"] == cloud.projects["red"]
    assert [reader.post("/volumes", json=wanted).status_code, reader.delete(path).status_code] == [403, 403]
    reader.headers["X-Roles"] = "admin"
    assert reader.delete(path).status_code == 403
    assert [stranger.get(path).status_code, stranger.delete(path).status_code] == [404, 404]
    assert stranger.get("/volumes").json()["volumes"] == []
    assert stranger.get(f"/{cloud.projects['red']}/volumes").status_code == 400
    assert member.get(f"/{cloud.projects['red']}{path}").status_code == 200

    assert [each.get("/os-services").status_code for each in (reader, member)] == [403, 403]
    for each in (administrator, system):
        assert each.get("/os-services").status_code == 200
        assert each.get(path).status_code == 200
        assert [found["id"] for found in each.get("/volumes?all_tenants=1").json()["volumes"]] == [volume_id]
    assert "for no project" in system.post("/volumes", json=wanted).json()["badRequest"]["message"]
    assert system.delete(path).status_code == 202
    member.wait_until_gone(path)


def test_a_token_that_does_not_count_is_nobodys(cloud: Cloud, make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=cloud.configuration())
    forged = {"X_User_Id": "u", "X_Project_Id": cloud.projects["red"], "X_Roles": "admin"}
    refused = requests.get(f"{fleet.url}/v3/volumes", timeout=PATIENCE)
    assert refused.headers["WWW-Authenticate"] == f'Keystone uri="{cloud.keystone.url}"'
    assert refused.json()["unauthorized"]["code"] == 401
    assert [status(fleet), status(fleet, **forged), status(fleet, X_Auth_Token="x", **forged)] == [401, 401, 401]
    revoked = cloud.token("member", "red")
    cloud.keystone.administrator().revoke(revoked)
    assert status(fleet, X_Auth_Token=revoked) == 401
    assert status(fleet, X_Auth_Token=cloud.keystone.expired_token("member", PASSWORD, "red")) == 401
    assert status(fleet, X_Auth_Token=cloud.token("member", "red")) == 200


def test_while_keystone_is_away_a_token_that_it_was_not_asked_about_waits(cloud: Cloud, make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=cloud.configuration())
    known, new = cloud.token("member", "red"), cloud.token("reader", "red")
    assert status(fleet, X_Auth_Token=known) == 200
    cloud.keystone.stop()
    try:
        answer = requests.get(f"{fleet.url}/v3/volumes", headers={"X-Auth-Token": new}, timeout=PATIENCE)
        assert answer.json()["serviceUnavailable"]["code"] == answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert status(fleet, X_Auth_Token=known) == 200
        assert requests.get(f"{fleet.url}/healthcheck", timeout=PATIENCE).status_code == 200
    finally:
        cloud.keystone.start()
    assert status(fleet, X_Auth_Token=new) == 200


@pytest.mark.parametrize(
    ("wrong", "named"), [("usernam = x", "did you mean username"), ("auth_type = magic", "auth_type")]
)
def test_what_is_wrong_in_the_configuration_is_named(cloud: Cloud, tmp_path: Path, wrong: str, named: str) -> None:
    assert named in check(tmp_path, cloud.configuration(f"{wrong}\n"))
