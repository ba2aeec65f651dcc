"""The CHAP password goes where the user says, and nowhere else."""

import stat
from pathlib import Path

import pytest

from tests.lab.told_server import Told
from tests.unit.client.conftest import Run
from tests.unit.client.test_connection import ID, VOLUME

SECRET = "mR4-very-secret"
ATTACHMENT = "5d1c0a52-95b5-4d27-8f0e-0f3f4a5d0f22"


@pytest.fixture
def attachable(server: Told) -> Told:
    connection = {
        "driver_volume_type": "iscsi",
        "target_portal": "127.0.0.1:3260",
        "target_iqn": f"iqn.2010-10.org.openstack:volume-{ID}",
        "target_lun": 1,
        "auth_method": "CHAP",
        "auth_username": "user-1",
        "auth_password": SECRET,
    }
    attachment = {
        "id": ATTACHMENT,
        "volume_id": ID,
        "instance": "i-1",
        "attach_mode": "rw",
        "connection_info": connection,
    }
    server.answer(f"GET /v3/volumes/{ID}", {"volume": VOLUME})
    server.answer("POST /v3/attachments", {"attachment": attachment})
    server.answer(f"POST /v3/attachments/{ATTACHMENT}/action", "", 204)
    return server


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_password_is_hidden_by_default(attachable: Told, run: Run, options: tuple[str, ...]) -> None:
    ended = run("attach", ID, *options)
    assert ended.status == 0
    assert SECRET not in ended.out + ended.err
    assert "user-1" in ended.out
    assert "127.0.0.1:3260" in ended.out


def test_the_password_is_shown_when_it_is_asked_for(attachable: Told, run: Run) -> None:
    assert SECRET in run("attach", ID, "--show-secret").out
    assert run("attach", ID, "--show-secret", "--json").document["attachment"]["connection_info"]["auth_password"] == (
        SECRET
    )


def test_the_secret_file_is_its_owners_alone_and_holds_only_the_password(
    attachable: Told, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    ended = run("attach", ID, "--secret-file", str(path))
    assert ended.status == 0
    assert path.read_text() == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in ended.out + ended.err


def test_an_existing_secret_file_is_not_overwritten_and_nothing_is_attached(
    attachable: Told, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text("of another")
    ended = run("attach", ID, "--secret-file", str(path))
    assert ended.status == 1
    assert "File exists" in ended.err
    assert path.read_text() == "of another"
    assert not any(request.startswith("POST") for request in attachable.requests())


def test_a_refused_attachment_leaves_no_secret_file(server: Told, run: Run, tmp_path: Path) -> None:
    server.answer(f"GET /v3/volumes/{ID}", {"volume": VOLUME})
    server.answer("POST /v3/attachments", {"badRequest": {"code": 400, "message": "in use"}}, 400)
    path = tmp_path / "secret"
    assert run("attach", ID, "--secret-file", str(path)).status == 1
    assert not path.exists()


def test_several_attachments_are_ended_only_when_all_or_one_are_named(server: Told, run: Run) -> None:
    rows = [{"id": each, "volume_id": ID, "instance": "i", "status": "attached"} for each in ("a-1", "a-2")]
    server.answer("GET /v3/attachments", {"attachments": rows})
    for row in rows:
        server.answer(f"DELETE /v3/attachments/{row['id']}", {"attachments": []})
    refused = run("detach", ID)
    assert refused.status == 1
    assert "a-1, a-2" in refused.err
    ended = run("detach", ID, "--all", "--json")
    assert [each["id"] for each in ended.document["detached"]] == ["a-1", "a-2"]
