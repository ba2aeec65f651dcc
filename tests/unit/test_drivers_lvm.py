"""What the LVM driver decides without LVM: names, sizes, and when a thin pool takes no more."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import LvmBackend
from volumed.driver.errors import BackendInvalid
from volumed.driver.interface import Owner
from volumed_drivers.lvm import filling, helper
from volumed_drivers.lvm.commands import LogicalVolume
from volumed_drivers.lvm.governor import SPACING, WINDOW, Governor
from volumed_drivers.lvm.names import Names, owner_of, parsed, told
from volumed_drivers.lvm.thick import region_size
from volumed_drivers.lvm.thin import CHUNK, MOST_METADATA, OF_CHUNK, pool_sizes

MIB = 1024**2
GIB = 1024**3
TIB = 1024**4

NAMES = Names(Owner("deployment", "lvm"))
POOL = LogicalVolume("pool", 100 * GIB, data_percent=10.0, metadata_percent=5.0, metadata_size=GIB)


@given(some.text(min_size=1, max_size=30), some.text(min_size=1, max_size=30))
def test_a_mark_has_only_what_lvm_allows_and_is_known_again(deployment: str, backend: str) -> None:
    mark = Names(Owner(deployment, backend)).mark
    assert re.fullmatch(r"[A-Za-z0-9_+.\-/=!:&#]+", mark)
    assert owner_of(frozenset({mark, "other"})) == (mark,)
    assert Names(Owner(deployment + "x", backend)).mark != mark


def test_two_ways_to_the_rights_are_one_too_many(tmp_path: Path) -> None:
    options = {"lvm_helper_socket": "/run/volumed/lvm.sock", "lvm_root_helper": "sudo -n"}
    with pytest.raises(BackendInvalid, match=r"lvm_root_helper.*lvm_helper_socket"):
        LvmBackend(tmp_path, "vg", "fake", Local(), options=options).driver().check_for_setup_error()


@pytest.mark.parametrize(
    ("option", "value"), [("lvm_conf_file", "/etc/volumed/lvm.conf"), ("lvm_suppress_fd_warnings", False)]
)
def test_what_the_helper_decides_is_not_for_the_backends_group_to_say(
    tmp_path: Path, option: str, value: object
) -> None:
    options = {"lvm_helper_socket": "/run/volumed/lvm.sock"}
    LvmBackend(tmp_path, "vg", "fake", Local(), options=options).driver().check_for_setup_error()
    asked = options | {option: value}
    with pytest.raises(BackendInvalid, match=rf"{option}.*lvm_helper_socket"):
        LvmBackend(tmp_path, "vg", "fake", Local(), options=asked).driver().check_for_setup_error()
    LvmBackend(tmp_path, "vg", "fake", Local(), options={option: value}).driver().check_for_setup_error()


@pytest.mark.parametrize(("name", "why"), [("lvm.conf", "no such file"), ("fast.conf", "by the name of lvm.conf only")])
def test_a_configuration_that_lvm_would_not_read_is_refused_wherever_it_is_named(
    tmp_path: Path, name: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / name
    if name != "lvm.conf":
        named.touch()
    backend = LvmBackend(tmp_path, "vg", "fake", Local(), options={"lvm_conf_file": str(named)})
    with pytest.raises(BackendInvalid, match=f"lvm_conf_file = {named}.*{why}"):
        backend.driver().do_setup()
    with pytest.raises(SystemExit):
        helper.options(["--group", "vg", "--lvm-conf", str(named)])
    assert f"--lvm-conf {named}: " in capsys.readouterr().err


def test_a_configuration_of_lvm_that_nobody_asked_for_and_the_helper_may_not_read_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An earlier manager's, which the default names: it may keep guests' volumes out of LVM's sight."""
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) == "/etc/cinder/lvm.conf")
    for options in ({}, {"lvm_helper_socket": "/run/volumed/lvm.sock"}):
        LvmBackend(tmp_path, "vg", "fake", Local(), options=options).driver().check_for_setup_error()
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "/etc/cinder/lvm.conf" in told


@pytest.mark.parametrize("target", ["lio", "fake"])
def test_a_write_cache_that_no_logical_volume_has_is_said_to_do_nothing(
    tmp_path: Path, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"iscsi_write_cache": True, "target_port": 3260}
    LvmBackend(tmp_path, "vg", target, Local(), options=options).driver().check_for_setup_error()
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "[lvm] iscsi_write_cache does nothing" in told


@pytest.mark.parametrize(
    ("name", "kind", "its_id"),
    [
        (NAMES.volume("a-1"), "volume", "a-1"),
        (NAMES.snapshot("a-1"), "snapshot", "a-1"),
        (NAMES.quarantine("a-1"), "remains", "a-1"),
        (NAMES.still("a-1"), "temporary", "a-1"),
        (NAMES.reverted("a-1"), "temporary", "a-1"),
        (NAMES.replaced("a-1"), "temporary", "a-1"),
        ("something", "temporary", None),
    ],
)
def test_a_name_says_what_it_is_of(name: str, kind: str, its_id: str | None) -> None:
    assert parsed(name) == (kind, its_id)
    assert not name.startswith("snapshot"), "LVM keeps these for itself"


def test_what_has_a_name_of_others_is_what_its_tags_say() -> None:
    tags = frozenset({NAMES.mark, "volumed.volume=a-1", "volumed.formerly=theirs"})
    assert told("theirs", tags, ["theirs"]) == ("volume", "a-1")
    assert told("theirs", frozenset({"volumed.snapshot=s-1"}), ["theirs"]) == ("snapshot", "s-1")
    assert told("volume-theirs", tags, ["volume-theirs"]) == ("volume", "a-1"), "as Cinder calls its own"
    assert told("volume-a-1", tags, ["volume-a-1"]) == ("volume", "a-1")
    assert told("half-made-pool", frozenset({NAMES.mark}), ["half-made-pool"]) == ("temporary", None)


def test_while_a_volume_is_exchanged_the_old_one_is_the_volume_and_the_new_one_nothing() -> None:
    final, old, new = NAMES.volume("a-1"), NAMES.replaced("a-1"), NAMES.reverted("a-1")
    none: frozenset[str] = frozenset()
    assert [told(each, none, [old, new]) for each in (old, new)] == [("volume", "a-1"), None]
    assert told(old, none, [old, final]) == ("temporary", "a-1")
    assert told(new, none, [new, final]) == ("temporary", "a-1")
    assert told(new, none, [new]) == ("temporary", "a-1")


@pytest.mark.parametrize("bad", ["", "-a", "a/b", "a b", "a" * 101, "..", "ä"])
def test_what_is_no_id_makes_no_name(bad: str) -> None:
    with pytest.raises(BackendInvalid):
        NAMES.volume(bad)


@given(some.integers(min_value=GIB, max_value=1024 * TIB))
def test_a_pool_fits_its_group_and_its_metadata_has_room_for_every_chunk(free: int) -> None:
    size, metadata, chunk = pool_sizes(free)
    assert size + 2 * metadata <= free
    assert metadata <= MOST_METADATA + 4 * 1024**2
    assert metadata >= size / chunk * OF_CHUNK
    assert chunk % CHUNK == 0


@pytest.mark.parametrize(
    ("size", "option"),
    [(TIB, []), (3 * TIB // 2, ["-R", "2"]), (2 * TIB, ["-R", "2"]), (3 * TIB, ["-R", "4"]), (9 * TIB, ["-R", "16"])],
)
def test_a_large_mirror_has_regions_of_the_next_power_of_two(size: int, option: list[str]) -> None:
    assert region_size(size) == option


def test_what_is_cleared_slowly_gives_a_sign_of_life_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one for long it is taken for stuck, and its process started again."""
    pauses: list[float] = []
    monkeypatch.setattr(filling.time, "sleep", pauses.append)
    told: list[int] = []
    with (tmp_path / "volume").open("w+b") as volume:
        position = filling.Position(tmp_path / "volume.at")
        clear = (volume.fileno(), 0, 4 * filling.MIB, position)
        filling.clear(*clear, lambda done, total: told.append(done), rate=filling.MIB)
    assert told == [at * filling.MIB for at in range(5)]
    assert max(pauses) <= 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def governor(clock: Clock, floor: float = 95.0) -> Governor:
    told = {"lvm_pool_full_percent": floor, "lvm_pool_extend_percent": 0.0, "lvm_pool_extend_step": 10}
    return Governor(SimpleNamespace(**told), clock)


@pytest.mark.parametrize("full", [{"data_percent": 95.0}, {"metadata_percent": 97.0}])
def test_a_pool_at_its_floor_takes_no_more_until_it_is_well_below(full: dict[str, float]) -> None:
    watched = governor(Clock())
    assert watched.refusal(POOL) is None
    assert "95 % is the limit" in str(watched.refusal(replace(POOL, **full)))
    assert watched.refusal(replace(POOL, data_percent=94.5))
    assert watched.refusal(replace(POOL, data_percent=93.0)) is None
    assert watched.refusal(replace(POOL, data_percent=94.5)) is None


def test_a_small_pools_metadata_are_full_where_lvm_says_so() -> None:
    watched = governor(Clock())
    small, large = (replace(POOL, metadata_size=size * MIB, metadata_percent=90.0) for size in (4, 400))
    assert "75 % is the limit (LVM's own)" in str(watched.refusal(small))
    assert "metadata" not in str(watched.refusal(replace(small, data_percent=99.0, metadata_percent=10.0)))
    assert watched.refusal(large) is None
    assert "95 % is the limit (lvm_pool_full_percent)" in str(watched.refusal(replace(large, metadata_percent=95.0)))


def test_the_time_left_is_that_of_what_fills_first_and_forgets_what_is_long_ago() -> None:
    clock = Clock()
    watched = governor(clock)
    watched.observe(POOL)
    assert watched.seconds_left() is None
    clock.now = 100.0
    watched.observe(replace(POOL, data_percent=20.0, metadata_percent=6.0))
    assert watched.seconds_left() == pytest.approx(800.0)
    clock.now = 100.0 + WINDOW + 1
    watched.observe(replace(POOL, data_percent=20.0, metadata_percent=6.0))
    assert watched.seconds_left() is None


def test_a_full_pool_is_told_of_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    watched = governor(clock)
    for moment in (0.0, 1.0, SPACING):
        clock.now = moment
        watched.observe(replace(POOL, data_percent=99.0))
    assert len([record for record in caplog.records if "takes no more" in record.message]) == 2
