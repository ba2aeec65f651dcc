"""The checker of random load finds each kind of broken promise, and nothing where all were kept."""

from dataclasses import replace

import pytest

from tests.crash.history import (
    Attached,
    Cancelled,
    Created,
    Deleted,
    Detached,
    End,
    Entry,
    Extended,
    Found,
    Ledger,
    Thing,
    Written,
    _twice,
)

MARK, OTHER = b"\x01\x02\x03", b"\x04\x05\x06"


def volume(id: str = "v1", key: str = "k1", source: str | None = None, size: int = 1) -> Created:
    return Created("c", "volume", id, size, key, f"create-{id}", source)


def snapshot(id: str = "s1", source: str = "v1", size: int = 1) -> Created:
    return Created("c", "snapshot", id, size, f"key-{id}", f"create-{id}", source)


def done(*entries: Entry) -> dict[str, End]:
    """The operations of these entries, all as asked."""
    ends: dict[str, End] = {}
    for entry in entries:
        match entry:
            case Created(kind=kind, id=id, operation=operation):
                ends[operation] = End(f"{kind}.create", id, "succeeded")
            case Extended(id=id, operation=operation):
                ends[operation] = End("volume.extend", id, "succeeded")
            case Deleted(kind=kind, id=id, operation=operation) if operation:
                ends[operation] = End(f"{kind}.delete", id, "succeeded")
            case Attached(id=id, operation=operation):
                ends[operation] = End("attachment.attach", id, "succeeded")
            case Detached(id=id, operation=operation) if operation:
                ends[operation] = End("attachment.detach", id, "succeeded")
    return ends


def judged(history: list[Entry], found: Found) -> list[str]:
    return Ledger().judge(history, found)


#: A life of everything, and what must be there after it.
LIFE: list[Entry] = [
    volume("v1"),
    volume("v1"),  # sent twice with one key
    Attached("c", "a1", "v1", "attach"),
    Written("c", "v1", MARK),
    Detached("c", "a1", "detach"),
    snapshot("s1", "v1"),
    Written("c", "v1", OTHER),
    volume("v2", "k2", source="v1", size=2),
    volume("v3", "k3", source="s1"),
    Extended("c", "v3", 2, "extend"),
    volume("v4", "k4"),
    Deleted("c", "volume", "v4", "delete"),
    Attached("c", "a2", "v2", "attach-2"),
]
WELL = Found(
    operations=done(*LIFE),
    volumes={"v1": Thing(1, mark=OTHER), "v2": Thing(2, mark=OTHER), "v3": Thing(2, mark=MARK)},
    snapshots={"s1": Thing(1, mark=MARK)},
    attachments=frozenset({"a2"}),
)


def test_where_all_promises_were_kept_nothing_is_found() -> None:
    assert judged(LIFE, WELL) == []


def end(operation: str, state: str, error: str | None = None) -> Found:
    """All is well but for the end of one operation."""
    return replace(
        WELL,
        operations=dict(WELL.operations) | {operation: replace(WELL.operations[operation], state=state, error=error)},
    )


def volumes(**changed: Thing | None) -> Found:
    """All is well but for these volumes."""
    merged = dict(WELL.volumes) | changed
    return replace(WELL, volumes={id: thing for id, thing in merged.items() if thing is not None})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (end("attach", "running"), "operation attach (attachment.attach) is running and has not ended"),
        (
            end("attach", "failed", "BackendUnreachable"),
            "operation attach (attachment.attach) failed: BackendUnreachable",
        ),
        (
            end("attach", "failed", "Cancelled"),
            "operation attach (attachment.attach) was cancelled, and nobody asked for it",
        ),
        (
            replace(WELL, operations={id: row for id, row in WELL.operations.items() if id != "attach"}),
            "operation attach was accepted, and nobody knows it",
        ),
        (
            replace(WELL, operations=dict(WELL.operations) | {"x": End("volume.delete", "v3", "failed", "Full")}),
            "operation x (volume.delete) of no answered request is failed: Full",
        ),
        (
            replace(WELL, operations=dict(WELL.operations) | {"x": End("volume.create", "v1", "succeeded")}),
            "volume.create of v1 was carried out 2 times, and asked 1 times",
        ),
        (
            replace(WELL, operations=dict(WELL.operations) | {"x": End("volume.extend", "v3", "succeeded")}),
            "volume.extend of v3 was carried out 2 times, and asked 1 times",
        ),
        (volumes(v1=None), "volume v1 was promised, and is not there"),
        (volumes(v4=Thing(1)), "volume v4 is there, and should not be"),
        (volumes(v5=Thing(1)), "volume v5 is there, and should not be"),
        (volumes(v1=Thing(1, "error", OTHER)), "volume v1 is error, not available"),
        (volumes(v3=Thing(1, mark=MARK)), "volume v3 has 1 GiB, not 2"),
        (volumes(v1=Thing(1, mark=MARK)), "data of volume v1 begins with 010203, not 040506"),
        (volumes(v3=Thing(2, mark=OTHER)), "data of volume v3 begins with 040506, not 010203"),
        (replace(WELL, snapshots={"s1": Thing(1, mark=OTHER)}), "data of snapshot s1 begins with 040506, not 010203"),
        (replace(WELL, snapshots={}), "snapshot s1 was promised, and is not there"),
        (replace(WELL, attachments=frozenset()), "attachment a2 was promised, and is not there"),
        (replace(WELL, attachments=frozenset({"a1", "a2"})), "attachment a1 is there, and should not be"),
        (replace(WELL, others=("quota p: 3 in use, 2 counted",)), "quota p: 3 in use, 2 counted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_broken_promise_is_found_and_nothing_else(found: Found, sentence: str) -> None:
    assert judged(LIFE, found) == [sentence]


def test_one_key_must_not_make_two_volumes() -> None:
    history: list[Entry] = [volume("v1", "k"), volume("v2", "k")]
    found = Found(operations=done(*history), volumes={"v1": Thing(1), "v2": Thing(1)})
    assert judged(history, found) == ["key k made volume v1 and v2"]


def cancelled(entry: Entry, operation: str, **found: dict[str, Thing]) -> list[str]:
    history = [volume("v1"), entry, Cancelled("c", operation)]
    ends = done(*history)
    ends[operation] = replace(ends[operation], state="failed", error="Cancelled")
    return judged(history, Found(operations=ends, **found))  # type: ignore[arg-type]


def test_what_was_cancelled_has_no_effect() -> None:
    there = {"v1": Thing(1)}
    assert cancelled(Extended("c", "v1", 2, "o"), "o", volumes=there) == []
    assert cancelled(Extended("c", "v1", 2, "o"), "o", volumes={"v1": Thing(2)}) == ["volume v1 has 2 GiB, not 1"]
    assert cancelled(Deleted("c", "volume", "v1", "o"), "o", volumes=there) == []
    assert cancelled(Deleted("c", "volume", "v1", "o"), "o") == ["volume v1 was promised, and is not there"]
    half = {"s1": Thing(1, "error")}
    assert cancelled(snapshot(), "create-s1", volumes=there, snapshots=half) == []
    whole = {"s1": Thing(1)}
    assert cancelled(snapshot(), "create-s1", volumes=there, snapshots=whole) == ["snapshot s1 is available, not error"]


def test_an_accepted_cancellation_must_be_honoured() -> None:
    history = [volume("v1"), Cancelled("c", "create-v1")]
    found = Found(operations=done(*history), volumes={"v1": Thing(1)})
    assert judged(history, found) == [
        "operation create-v1 (volume.create) succeeded, although its cancellation was accepted"
    ]


def test_a_round_begins_with_what_the_last_one_left() -> None:
    ledger = Ledger()
    assert ledger.judge(LIFE, WELL) == []
    history: list[Entry] = [Detached("c", "a2", "detach-2"), Deleted("c", "volume", "v2", None)]
    left = replace(volumes(v2=None), operations=done(*history), attachments=frozenset())
    assert ledger.judge(history, left) == []
    assert ledger.judge([], replace(left, operations={}, attachments=frozenset({"a2"}))) == [
        "attachment a2 is there, and should not be"
    ]


def test_a_growth_that_was_cancelled_may_be_asked_again_and_is_no_second_effect() -> None:
    history = [Extended("c", "v1", 2, "o"), Cancelled("c", "o"), Extended("c", "v1", 2, "p")]
    ends = {"o": End("volume.extend", "v1", "failed", "Cancelled"), "p": End("volume.extend", "v1", "succeeded")}
    assert list(_twice(history, ends)) == []
    unasked = ends | {"q": End("volume.extend", "v1", "succeeded")}
    assert list(_twice(history, unasked)) == ["volume.extend of v1 was carried out 3 times, and asked 2 times"]
