"""Reads what tgtd shows of its targets.

Knows the text of ``show`` in mode target and account; knows nothing of what should be there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

GIB = 1024**3
MEGABYTE = 1_000_000

_TARGET = re.compile(r"^Target (\d+): (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Lun:
    number: int
    path: str | None = None
    #: Whole megabytes, as tgtd rounds them; it shows no finer size.
    megabytes: int = 0
    serial: str = ""
    read_only: bool = False

    @property
    def size_bytes(self) -> int:
        """The size: exact when it is a whole number of GiB, else as good as tgtd tells it."""
        gibibytes = round(self.megabytes * MEGABYTE / GIB)
        exact = gibibytes * GIB
        return exact if megabytes(exact) == self.megabytes else self.megabytes * MEGABYTE


@dataclass(slots=True)
class Target:
    tid: int
    name: str
    luns: dict[int, Lun] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    #: Names of initiators that may log in; ``ALL`` is everybody.
    initiators: set[str] = field(default_factory=set)
    sessions: list[str] = field(default_factory=list)


def megabytes(size_bytes: int) -> int:
    """``size_bytes`` as tgtd shows it."""
    return (size_bytes + MEGABYTE // 2) // MEGABYTE


def parse_targets(text: str) -> Iterator[Target]:
    """Every target of a listing."""
    heads = list(_TARGET.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=False):
        yield _parse(head, text[head.end() : end])


def parse_accounts(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.startswith("    ")}


def _parse(head: re.Match[str], body: str) -> Target:
    target = Target(tid=int(head[1]), name=head[2])
    section, lun = "", Lun(-1)
    for line in body.splitlines():
        words = line.strip()
        if line.startswith("    ") and line[4:5] != " ":
            section = words
        elif section == "LUN information:":
            lun = _lun_line(target, lun, words)
        elif section == "Account information:":
            target.accounts.add(words)
        elif section == "ACL information:":
            target.initiators.add(words)
        elif section == "I_T nexus information:" and words.startswith("Initiator: "):
            target.sessions.append(words.removeprefix("Initiator: ").split(" ")[0])
    for names in (target.accounts, target.initiators):
        names.discard("")
    return target


def _lun_line(target: Target, lun: Lun, words: str) -> Lun:
    key, _, value = words.partition(": ")
    if key == "LUN":
        lun = target.luns[int(value)] = Lun(int(value))
    elif key == "Size":
        lun.megabytes = int(value.split(" ")[0])
    elif key == "SCSI SN":
        lun.serial = value
    elif key == "Readonly":
        lun.read_only = value == "Yes"
    elif key == "Backing store path":
        lun.path = None if value == "None" else value
    return lun
