"""What the helper of LIO can be asked: every word is checked before anything is done, and no refusal tells a secret."""

import contextlib
import json
import os
import socket
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed_drivers.helper.wire import MOST_ASKED, Hello, Refused, receive, send, to_words
from volumed_drivers.targets.lio.backstores import serial_of
from volumed_drivers.targets.lio.requests import (
    Acl,
    Apply,
    Exports,
    Names,
    Remove,
    Request,
    Scope,
    Sessions,
    check,
    of_words,
)

SCOPE = Scope("0123456789ab", "iqn.2010-10.org.openstack:volume-", ("127.0.0.1:3260", "[::1]:3260"))
ACL = Acl("iqn.2026-01.test:first", "user", "a-very-secret-word")
APPLY = Apply(SCOPE, "0f6f2a4e-8a4a-4b8a-9d0a-6c6a7a1b2c3d", "/dev/vg/lv", 1 << 30, False, True, (ACL,))
REQUESTS = [Hello(), APPLY, Remove(SCOPE, "volume", True), Exports(SCOPE), Names(SCOPE), Sessions(SCOPE, "volume")]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_each_request_arrives_as_it_was_sent(request_: Request) -> None:
    assert of_words(to_words(request_)) == request_


BAD: list[dict[str, Any]] = [
    {"volume_id": "../../core"},
    {"volume_id": "a/b"},
    {"volume_id": ""},
    {"volume_id": "."},
    {"path": "relative"},
    {"path": "/dev/vg/lv,fd_dev_name=/etc/shadow"},
    {"path": "/dev/vg/lv\n"},
    {"size_bytes": -1},
    {"size_bytes": True},
    {"write_cache": "yes"},
    {"acls": (replace(ACL, initiator="../acls"),)},
    {"acls": (replace(ACL, initiator="iqn.2026-01.test:UPPER"),)},
    {"acls": (replace(ACL, initiator="iqn.a/b"),)},
    {"acls": (replace(ACL, username="NULL"),)},
    {"acls": (replace(ACL, username="0x1234"),)},
    {"acls": (replace(ACL, username="0b-user"),)},
    {"acls": (replace(ACL, password="NULL-secret"),)},
    {"acls": (replace(ACL, password="with a space"),)},
    {"acls": (replace(ACL, password=""),)},
    {"acls": (ACL, ACL)},
    {"scope": replace(SCOPE, owner="somebody")},
    {"scope": replace(SCOPE, prefix="/sys/kernel")},
    {"scope": replace(SCOPE, portals=())},
    {"scope": replace(SCOPE, portals=("../np",))},
]


@pytest.mark.parametrize("changed", BAD, ids=str)
def test_a_word_that_lio_cannot_take_is_refused_and_no_secret_told(changed: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        check(replace(APPLY, **changed))
    assert refusal.value.kind == "invalid"
    assert "secret" not in refusal.value.reason.replace("one secret for an initiator", "")
    with pytest.raises(Refused):
        of_words(to_words(replace(APPLY, **changed)))


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda each: json.dumps(each).encode())
)
def test_what_is_no_request_is_refused(words: bytes) -> None:
    with pytest.raises(Refused):
        of_words(words)


@given(
    st.dictionaries(
        st.sampled_from(["request", "scope", "volume_id", "force", "acls", "path", "size_bytes"]),
        st.none() | st.text(max_size=5) | st.lists(st.integers()) | st.sampled_from(["Apply", "Remove", "Names"]),
    )
)
def test_a_request_with_anything_in_it_is_one_or_is_refused(told: dict[str, Any]) -> None:
    with contextlib.suppress(Refused):
        check(of_words(json.dumps(told).encode()))


def test_a_secret_is_in_no_representation() -> None:
    assert ACL.password not in repr(APPLY)


@pytest.mark.parametrize("size", [0, 1, 1 << 16, 1 << 20])
def test_a_message_arrives_whole_with_its_descriptor(size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull) as stream:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        send(ours, b"x" * size, stream.fileno())
        words, (descriptor,) = receive(theirs, 1 << 21)
        assert words == b"x" * size
        assert os.fstat(descriptor).st_rdev == os.fstat(stream.fileno()).st_rdev
        os.close(descriptor)


def test_a_message_that_is_too_long_or_ends_early_is_no_message() -> None:
    for message in (b"", b"\0\0", b"\0\0\1\0short", (MOST_ASKED + 100).to_bytes(4, "big") + b"x" * (MOST_ASKED + 100)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            ours.sendall(message)
            ours.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionResetError):
                receive(theirs, MOST_ASKED)


def test_the_serial_number_is_the_volumes_id_or_one_of_its_own() -> None:
    assert serial_of(APPLY.volume_id) == APPLY.volume_id
    assert len({serial_of("a"), serial_of("b"), serial_of("a")}) == 2
