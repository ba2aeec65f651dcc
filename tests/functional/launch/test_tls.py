"""``volumed up`` with a certificate."""

from pathlib import Path

import pytest

from tests.lab.certificates import Authority
from tests.lab.daemon import refused, running_daemon

pytestmark = pytest.mark.embedded_only("it is about volumed up; the server is the same in volumed-api")


def test_volumes_are_made_through_tls_where_a_certificate_is_configured(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue("server")
    configuration = tmp_path / "tls.conf"
    configuration.write_text(
        f"[api]\ntls_certificate_file = {identity.certificate}\ntls_key_file = {identity.key}\n"
        "[file]\ntarget_helper = fake\n"
    )
    with running_daemon(("--config-file", str(configuration))) as daemon:
        assert daemon.url.startswith("https://")
        with daemon.session() as rest:
            rest.verify = str(authority.file)
            volume_id = rest.make_volume()
            links = rest.get(f"/volumes/{volume_id}").json()["volume"]["links"]
            assert links[0]["href"].startswith(f"{daemon.url}/v3/volumes/")


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    configuration = tmp_path / "tls.conf"
    configuration.write_text("[api]\ntls_key_file = /nowhere.key\n")
    said = refused(tmp_path / "state", "--config-file", str(configuration))
    assert "[api] tls_certificate_file" in said
