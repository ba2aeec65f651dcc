"""What the helper of LVM can be asked: the commands of the driver on its groups, and no other word."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from volumed_drivers.helper.wire import Hello, Refused, to_words
from volumed_drivers.lvm.requests import Change, Holders, Open, Report, Request, check, of_words

GROUPS = ("vg", "other-vg")

COMMANDS = [
    "vgchange -y --addtag volumed/d/b vg",
    "lvcreate -y -L 1b -n volume-1 -Wn -Zn -m 1 --nosync -R 2 --addtag volumed/d/b --addtag volumed.volume=1 vg",
    "lvcreate -y -s -l 100%ORIGIN -n _snapshot-1 --addtag volumed/d/b vg/volume-1",
    "lvcreate -y -T vg/vg-pool -V 1073741824b -n volume-1 --addtag volumed/d/b",
    "lvcreate -y -s -n volume-2 -k n -K -ay --addtag volumed/d/b vg/_snapshot-1",
    "lvcreate -y -L 100b --poolmetadatasize 16b -c 65536b -Zy --addtag volumed/d/b -T vg/vg-pool",
    "lvremove -y vg/volume-1",
    "lvrename -y vg volume-1 volumed-purge-1",
    "lvchange -y -ay -K vg/volume-1",
    "lvchange -y -ay -K vg/volume-1 vg/volume-2 vg/volume-3",
    "lvchange -y -an vg/volume-1",
    "lvchange -y --deltag volumed.unready vg/volume-1",
    "lvextend -y -L 2147483648b vg/volume-1",
    "lvextend -y --poolmetadatasize +4194304b vg/vg-pool",
]


def change(command: str) -> Change:
    return Change(tuple(command.split()), 120.0)


REQUESTS = [
    Hello(),
    change(COMMANDS[0]),
    Report("vg", ("vg_name", "lv_name"), 120.0),
    Open("vg", "volume-1", True),
    Holders("vg", "volume-1"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_driver_are_taken(command: str) -> None:
    check(change(command), GROUPS)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_arrives_as_it_was(request_: Request) -> None:
    assert of_words(to_words(request_), GROUPS) == request_


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sh -c true",
        "lvs vg",
        "/tmp/lvcreate -y -L 1b -n a vg",
        "vgremove -y vg",
        "lvremove -y vg",
        "lvremove -y vg/a vg/b",
        "lvremove -y root/volume-1",
        "lvremove -y ../vg/volume-1",
        "lvremove -y vg/volume-1 --config global{}",
        "lvremove --config=x vg/volume-1",
        "lvremove -y -S lv_name=~. vg",
        "lvremove -ff vg/volume-1",
        "lvchange -y -ay vg",
        "lvchange -y -ay vg/a vg",
        "lvchange -y -ay vg/a root/b",
        "lvchange -y -ay",
        "lvchange -y --addtag @x vg/a",
        "lvcreate -y -L 1G -n a vg",
        "lvcreate -y -L",
        "lvcreate -y -n -y vg",
        "lvcreate -y --profile x vg",
        "lvcreate -y -L 1b -n a vg /dev/sda",
        "lvextend -y -L 1b vg",
        "lvrename -y vg a",
        "lvrename -y vg a b c",
        "lvrename -y root a b",
        "lvrename -y vg/a vg/b",
        "vgchange -y --addtag x vg/a",
        "vgchange -y --addtag x",
    ],
)
def test_no_other_word_is(command: str) -> None:
    with pytest.raises(Refused):
        check(change(command), GROUPS)


@pytest.mark.parametrize(
    "request_",
    [
        Report("root", ("vg_name",), 1.0),
        Report("vg", ("vg_name,--config",), 1.0),
        Report("vg", ("vg_name",), 0.0),
        Report("vg", ("vg_name",), 1e9),
        Open("vg", "../sda", True),
        Open("vg", "a/b", False),
        Open("root", "a", False),
        Holders("root", "a"),
        Holders("vg", "-a"),
    ],
)
def test_nothing_beside_the_groups_is_read_or_opened(request_: Request) -> None:
    with pytest.raises(Refused):
        check(request_, GROUPS)


@given(some.recursive(some.none() | some.booleans() | some.integers() | some.text(), some.lists, max_leaves=5))
def test_whatever_is_sent_is_a_request_or_refused(value: object) -> None:
    for kind in ("Change", "Report", "Open", "Holders", "Hello", value):
        wild = {"words": value, "fields": value, "timeout": value, "group": value, "name": value, "writable": value}
        tame = {"timeout": 1.0, "group": "vg", "name": "volume-1"}
        names = {
            "Change": ("words", "timeout"),
            "Report": ("group", "fields", "timeout"),
            "Open": ("group", "name", "writable"),
            "Holders": ("group", "name"),
        }.get(str(kind), ())
        for told in (wild, wild | tame):
            words = json.dumps({"request": kind} | {name: told[name] for name in names}).encode()
            with contextlib.suppress(Refused):
                of_words(words, GROUPS)
    with contextlib.suppress(Refused):
        of_words(json.dumps(value).encode(), GROUPS)
