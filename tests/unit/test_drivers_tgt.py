"""The tgt target's own behaviour, seen with a real initiator and in the process list."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import initiator
from tests.lab.data_paths import Iscsi
from tests.lab.file_backend import FileBackend
from volumed.driver.conformance.kills import Passage, kill_at, passages
from volumed.driver.errors import BackendUnreachable, OutcomeUnknown
from volumed.driver.interface import Access, Driver, Leftover, VolumeRef
from volumed_drivers.file.driver import FileDriver
from volumed_drivers.targets.tgt import protocol
from volumed_drivers.targets.tgt.listing import GIB, Lun, megabytes

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.part("qemu-io")]

VOLUME = VolumeRef("0f6f2a4e-8a4a-4b8a-9d0a-6c6a7a1b2c3d", 1, "pool")
FIRST = Access("first", None, False, "first", "secret-of-first")
SECOND = Access("second", None, False, "second", "secret-of-second")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[FileBackend]:
    backend = FileBackend(tmp_path, "tgt", Iscsi())
    yield backend
    backend.close()
    assert daemons(tmp_path) == []


@pytest.fixture
def driver(backend: FileBackend) -> FileDriver:
    driver = backend.driver()
    driver.do_setup()
    driver.create(VOLUME)
    return driver


def daemons(folder: Path) -> list[int]:
    """Every tgtd that works in the backend's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                os.readlink(process / "cwd") == str(folder / "tgt" / "file")
                and "tgtd" in (process / "comm").read_text()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def connection(driver: Driver, access: Access, name: str | None = None) -> initiator.Connection:
    return initiator.Connection.of(driver.connection_info(VOLUME, access), name)


def gets_in(wanted: initiator.Connection) -> bool:
    try:
        return initiator.size(wanted) > 0
    except initiator.InitiatorError:
        return False


def test_who_looks_after_tgtd_takes_none_of_its_descriptors(
    backend: FileBackend, driver: FileDriver, tmp_path: Path
) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    initiator.write_patterns(connection(driver, FIRST), [(7, 0, 8 << 20)])
    (pid,) = daemons(tmp_path)
    before = descriptors_at_rest(pid)
    for _ in range(20):
        driver.check_health()
        successor = backend.driver()
        successor.do_setup()
        successor.check_health()
    deadline = time.monotonic() + 10
    while (held := descriptors(pid)) != before:
        assert time.monotonic() < deadline, held
        time.sleep(0.1)


def descriptors_at_rest(pid: int) -> int:
    """Their number once the connection of a client that is gone has been closed, too: the same in ten looks."""
    looks = [descriptors(pid)]
    while len(looks) < 10 or len(set(looks[-10:])) > 1:
        assert len(looks) < 300, looks
        time.sleep(0.1)
        looks.append(descriptors(pid))
    return looks[-1]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_killed_tgtd_is_started_again_on_its_port_and_says_that_exports_are_lost(
    driver: FileDriver, tmp_path: Path
) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    before = connection(driver, FIRST)
    assert not driver.check_health()
    (killed,) = daemons(tmp_path)
    os.kill(killed, signal.SIGKILL)
    wait_until_gone(killed)
    assert driver.check_health()
    assert driver.check_health(), "true until the exports were read"
    assert dict(driver.exports()) == {}
    assert not driver.check_health()
    driver.ensure_export(VOLUME, [FIRST])
    assert connection(driver, FIRST) == before
    assert gets_in(before)


def test_an_open_session_goes_on_when_its_target_was_restored(driver: FileDriver, tmp_path: Path) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    with initiator.session(connection(driver, FIRST)) as session:
        session.write_pattern(5, 0, 65536)
        (killed,) = daemons(tmp_path)
        os.kill(killed, signal.SIGKILL)
        wait_until_gone(killed)
        driver.ensure_export(VOLUME, [FIRST])
        assert session.has_pattern(5, 0, 65536)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return
        except OSError:
            return
        time.sleep(0.01)


def test_a_start_killed_anywhere_leads_to_one_tgtd(tmp_path: Path) -> None:
    for passage in [each for each in starting(tmp_path / "undisturbed") if each.point.startswith("tgt.")]:
        folder = tmp_path / str(passage.number)
        backend = FileBackend(folder, "tgt", Iscsi())
        assert kill_at(passage, lambda driver: driver.do_setup(), backend.driver)
        driver = backend.driver()
        driver.do_setup()
        driver.do_setup()
        deadline = time.monotonic() + 30
        while len(daemons(folder)) != 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(daemons(folder)) == 1, passage
        driver.close()
        assert daemons(folder) == [], passage


def starting(folder: Path) -> list[Passage]:
    """What the first start of a backend passes."""
    driver = FileBackend(folder, "tgt", Iscsi()).driver()
    found = passages(lambda driver: driver.do_setup(), driver)
    driver.close()
    return found


def test_closing_ends_tgtd_with_its_exports_and_leaves_no_socket(driver: FileDriver, tmp_path: Path) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    driver.close()
    driver.close()
    assert daemons(tmp_path) == []
    assert not any("control" in path.name for path in (tmp_path / "tgt" / "file").iterdir())


def test_closing_leaves_a_tgtd_with_a_session_and_says_who(
    driver: FileDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    with initiator.session(connection(driver, FIRST, "iqn.2026-01.test:who")) as session:
        driver.close()
        assert session.has_pattern(0, 0, 512)
        assert len(daemons(tmp_path)) == 1
    assert "iqn.2026-01.test:who" in caplog.text


def test_the_chosen_port_is_kept_for_good(backend: FileBackend, driver: FileDriver) -> None:
    portal = connection(driver, FIRST).portal
    driver.close()
    following = backend.driver()
    following.do_setup()
    assert connection(following, FIRST).portal == portal


def test_an_adopted_tgtd_listens_where_todays_configuration_says_and_keeps_its_sessions(
    backend: FileBackend, driver: FileDriver, tmp_path: Path
) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    (tgtd,) = daemons(tmp_path)
    before = connection(driver, FIRST)
    with initiator.session(before) as session:
        changed = replace(backend, options={"target_ip_address": "127.0.0.2", "target_port": free_port()}).driver()
        changed.do_setup()
        now = connection(changed, FIRST)
        assert now.portal.startswith("127.0.0.2:")
        assert gets_in(now)
        assert gets_in(before)
        assert session.has_pattern(0, 0, 512)
    assert daemons(tmp_path) == [tgtd]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        return int(probe.getsockname()[1])


def test_a_taken_port_is_named_with_its_option(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        backend = FileBackend(tmp_path, "tgt", Iscsi(), options={"target_port": port})
        with pytest.raises(BackendUnreachable, match=rf"127\.0\.0\.1:{port} .*target_port"):
            backend.driver().do_setup()
    assert daemons(tmp_path) == []
    backend.close()


def test_a_missing_tgtd_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *args, **words: None)
    with pytest.raises(BackendUnreachable, match="apt-get install tgt"):
        FileBackend(tmp_path, "tgt", Iscsi()).driver().do_setup()


def test_a_state_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    backend = FileBackend(tmp_path / ("long" * 40), "tgt", Iscsi())
    backend.driver().do_setup()
    backend.close()


def test_only_the_named_initiator_gets_in_and_sees_the_target(driver: FileDriver) -> None:
    named = replace(FIRST, initiator="iqn.2026-01.test:mine")
    driver.ensure_export(VOLUME, [named])
    assert gets_in(connection(driver, named, "iqn.2026-01.test:mine"))
    assert not gets_in(connection(driver, named, "iqn.2026-01.test:other"))
    assert not gets_in(replace(connection(driver, named, "iqn.2026-01.test:mine"), username=None))


def test_a_revoked_initiator_is_cut_and_the_other_is_not(driver: FileDriver) -> None:
    mine = replace(FIRST, initiator="iqn.2026-01.test:mine")
    other = replace(SECOND, initiator="iqn.2026-01.test:other")
    driver.ensure_export(VOLUME, [mine, other])
    with initiator.session(connection(driver, mine, mine.initiator)) as kept:
        with initiator.session(connection(driver, other, other.initiator)):
            assert set(driver.exports()[VOLUME.id].sessions) == {mine.initiator, other.initiator}
            driver.ensure_export(VOLUME, [mine])
            assert driver.exports()[VOLUME.id].sessions == (mine.initiator,)
        assert kept.has_pattern(0, 0, 512)


def test_a_read_only_access_cannot_write(driver: FileDriver) -> None:
    reader = replace(FIRST, read_only=True)
    driver.ensure_export(VOLUME, [reader])
    assert initiator.has_pattern(connection(driver, reader), 0, 0, 4096)
    with pytest.raises(initiator.InitiatorError):
        initiator.write_pattern(replace(connection(driver, reader), read_only=False), 1, 0, 4096)
    driver.ensure_export(VOLUME, [FIRST])
    initiator.write_pattern(connection(driver, FIRST), 1, 0, 4096)


def test_nobody_gets_in_without_a_password_wherever_a_change_was_killed(
    backend: FileBackend, driver: FileDriver
) -> None:
    """tgtd asks nobody for a password at a target that has no account."""

    def change(fresh: Driver) -> None:
        fresh.ensure_export(VOLUME, [SECOND])

    driver.ensure_export(VOLUME, [FIRST])
    fresh = backend.driver()
    fresh.do_setup()
    stranger = replace(connection(driver, FIRST), username=None)
    for passage in passages(change, fresh):
        fresh.ensure_export(VOLUME, [FIRST])
        assert kill_at(passage, change, lambda: set_up(backend))
        assert not gets_in(stranger), passage
        fresh = set_up(backend)


def set_up(backend: FileBackend) -> FileDriver:
    driver = backend.driver()
    driver.do_setup()
    return driver


@pytest.mark.parametrize("point", ["tgt.lun_delete.before", "tgt.lun_delete.after", "tgt.lun.before", "tgt.lun.after"])
def test_an_export_that_grows_and_is_killed_over_it_has_the_new_size_after_a_repeat(
    backend: FileBackend, driver: FileDriver, point: str
) -> None:
    def export(driver: Driver) -> None:
        driver.ensure_export(VOLUME, [FIRST])

    export(driver)
    driver.extend(VOLUME, 2)
    passage = next(each for each in passages(export, set_up(backend)) if each.point == point)
    driver.extend(VOLUME, 3)
    assert kill_at(passage, export, lambda: set_up(backend))
    export(set_up(backend))
    found = set_up(backend).exports()[VOLUME.id]
    assert (found.size_bytes, found.usernames) == (3 * GIB, {"first"})


def test_an_account_that_an_audit_saw_unbound_is_left_alone_when_a_target_has_it_by_now(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    driver.remove_leftover(Leftover("export", None, FIRST.username, "account of no target"))
    assert driver.exports()[VOLUME.id].usernames == {FIRST.username}


def test_a_tgtd_that_hangs_is_an_unknown_outcome_within_bounds_and_goes_on_later(
    driver: FileDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "TIMEOUT", 0.3)
    (hanging,) = daemons(tmp_path)
    os.kill(hanging, signal.SIGSTOP)
    try:
        before = time.monotonic()
        with pytest.raises(OutcomeUnknown) as refusal:
            driver.ensure_export(VOLUME, [FIRST])
        assert time.monotonic() - before < 3
        assert FIRST.password not in str(refusal.value)
    finally:
        os.kill(hanging, signal.SIGCONT)
    driver.ensure_export(VOLUME, [FIRST])
    assert gets_in(connection(driver, FIRST))


def test_a_session_tells_a_wrong_pattern_from_a_right_one(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    with initiator.session(connection(driver, FIRST)) as session:
        session.write_pattern(5, 0, 4096)
        assert [session.has_pattern(value, 0, 4096) for value in (5, 6, 5, 6, 5)] == [True, False, True, False, True]


def test_many_threads_export_at_once_and_each_volume_gets_its_own_target(driver: FileDriver) -> None:
    volumes = [VolumeRef(f"volume{number}", 1, "pool") for number in range(40)]

    def export(volume: VolumeRef) -> None:
        driver.create(volume)
        driver.ensure_export(volume, [replace(FIRST, username=f"user-{volume.id}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(export, volumes))
    found = driver.exports()
    assert {name: export.usernames for name, export in found.items()} == {
        volume.id: {f"user-{volume.id}"} for volume in volumes
    }
    assert all(found[volume.id].path.endswith(f"volume-{volume.id}") for volume in volumes)


@pytest.mark.part("iscsi-inq")
def test_the_serial_number_of_the_disk_is_the_volume_and_not_a_number_used_again(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    assert initiator.serial_number(connection(driver, FIRST)) == VOLUME.id


@given(st.integers(min_value=1, max_value=65536))
def test_every_whole_size_is_read_back_from_megabytes(gibibytes: int) -> None:
    assert Lun(1, megabytes=megabytes(gibibytes * GIB)).size_bytes == gibibytes * GIB


def test_tgtd_listens_on_every_address_and_initiators_are_told_all(tmp_path: Path) -> None:
    backend = FileBackend(
        tmp_path, "tgt", Iscsi(), options={"iscsi_secondary_ip_addresses": ["127.0.0.2", "127.0.0.1"]}
    )
    driver = backend.driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    data = driver.connection_info(VOLUME, FIRST)["data"]
    assert [portal.rpartition(":")[0] for portal in data["target_portals"]] == ["127.0.0.1", "127.0.0.2"]
    assert data["target_portal"] == data["target_portals"][0]
    assert (data["target_iqns"], data["target_luns"]) == ([data["target_iqn"]] * 2, [data["target_lun"]] * 2)
    for portal in data["target_portals"]:
        assert gets_in(replace(connection(driver, FIRST), portal=portal))
    driver.remove_export(VOLUME)
    driver.close()
    assert daemons(tmp_path) == []


OLD_FILE = """
<target {name}>
    backing-store /dev/cinder-volumes/{volume}
    driver iscsi
    incominguser olduser oldpassword12
    write-cache on
</target>
"""


def test_files_of_an_earlier_manager_are_found_and_go_when_the_export_is_ours(tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    folder.mkdir()
    prefix = "iqn.2010-10.org.openstack:"
    other = VolumeRef("ffffffff-8a4a-4b8a-9d0a-6c6a7a1b2c3d", 1, "pool")
    for volume in (VOLUME, other):
        name = f"volume-{volume.id}"
        (folder / name).write_text(OLD_FILE.format(name=prefix + name, volume=name))
    strangers = folder / "strangers", folder / f"volume-{'e' * 8}"
    strangers[0].write_text(OLD_FILE.format(name="iqn.2000-01.com.example:disk", volume="disk"))
    strangers[1].symlink_to("/etc/passwd")

    driver = FileBackend(tmp_path, "tgt", Iscsi(), options={"volumes_dir": str(folder)}).driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    assert sorted(folder.iterdir()) == sorted([*strangers, folder / f"volume-{other.id}"])
    (left,) = [found for found in driver.audit() if found.id == other.id]
    assert left.where == str(folder / f"volume-{other.id}")
    driver.remove_leftover(left)
    driver.remove_leftover(left)
    assert sorted(folder.iterdir()) == sorted(strangers)
    driver.remove_export(VOLUME)
    driver.close()


def old_file(folder: Path, its_id: str, path: str | Path) -> Path:
    """A file as the earlier manager wrote one for ``path``."""
    folder.mkdir(exist_ok=True)
    file = folder / f"volume-{its_id}"
    text = OLD_FILE.format(name=f"iqn.2010-10.org.openstack:volume-{its_id}", volume="-")
    file.write_text(text.replace("/dev/cinder-volumes/-", str(path)))
    return file


def test_an_old_file_goes_with_the_export_of_what_it_would_export_whatever_its_id_is(tmp_path: Path) -> None:
    """A volume that was managed has another id than the earlier manager gave it."""
    folder = tmp_path / "volumes"
    file = old_file(folder, "former-id", tmp_path / "pool" / f"volume-{VOLUME.id}")
    other = old_file(folder, "other-id", tmp_path / "pool" / "volume-other-id")
    driver = FileBackend(tmp_path, "tgt", Iscsi(), options={"volumes_dir": str(folder)}).driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    assert (file.exists(), other.exists()) == (False, True)
    driver.remove_export(VOLUME)
    driver.close()


def test_an_old_file_of_a_volume_that_is_exported_already_goes_at_the_start(tmp_path: Path) -> None:
    """Such an export is as it should be, so that nobody makes it again."""
    folder = tmp_path / "volumes"
    backend = FileBackend(tmp_path, "tgt", Iscsi(), options={"volumes_dir": str(folder)})
    driver = backend.driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    path = tmp_path / "pool" / f"volume-{VOLUME.id}"
    files = [old_file(folder, VOLUME.id, path), old_file(folder, "former-id", path)]
    other = old_file(folder, "other-id", tmp_path / "pool" / "volume-other-id")
    backend.driver().do_setup()
    assert [file.exists() for file in (*files, other)] == [False, False, True]
    driver.remove_export(VOLUME)
    driver.close()


def test_what_is_left_of_an_earlier_managers_export_goes_and_the_export_of_its_volume_stays(tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    driver = FileBackend(tmp_path, "tgt", Iscsi(), options={"volumes_dir": str(folder)}).driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    file = old_file(folder, VOLUME.id, "/dev/cinder-volumes/disk").rename(folder / "another-name")
    (left,) = [found for found in driver.audit() if found.where == str(file)]
    driver.remove_leftover(left)
    assert (file.exists(), set(driver.exports())) == (False, {VOLUME.id})
    driver.remove_export(VOLUME)
    driver.close()


def test_what_the_operator_asks_and_tgt_does_not_do_is_said_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wishes = {"use_chap_auth": False, "iscsi_write_cache": True}
    driver = FileBackend(tmp_path, "tgt", Iscsi(), options=wishes).driver()
    driver.do_setup()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [name for name in wishes if any(name in each and "[file]" in each for each in told)] == list(wishes)
    driver.close()
