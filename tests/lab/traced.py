"""A ``volumed up`` under strace: what each of its threads changed, and the crash points that it passed meanwhile.

A point is seen as an ``access`` of a path that does not exist. Run as a program, this module becomes volumed with its
points made visible that way. Knows strace's output; knows nothing of what a change is for.
"""

import ast
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.lab.daemon import PATIENCE, Daemon

#: What the paths of crash points begin with.
POINTS = "/volumed-crash-point/"

_FORKS = ("fork", "vfork", "clone", "clone3")
_NAMED = ("open", "openat", "creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "truncate")
_NAMED += ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat")
_WRITES = ("write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate", "copy_file_range", "ioctl")
_TALK = ("connect", "sendto", "sendmsg")
_CALLS = (*_FORKS, *_NAMED, *_WRITES, *_TALK, "execve", "access", "faccessat", "faccessat2", "pidfd_send_signal")

#: Bytes of data that are kept of a call: enough for the head of a request, too few for what is secret in it.
_KEPT = 8

#: ``Op.SHOW`` of tgtd's management protocol: a question, which changes nothing.
_SHOW = 2

_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*?)(?:\) += (?P<result>-?\d+|\?|0x[0-9a-f]+).*|<detached \.\.\.>)")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"(\d+<[^>]*>)")


@dataclass(frozen=True)
class Watched:
    """``folders``: changes in them are effects. ``sockets``: names of management sockets. ``rows``: the database."""

    folders: tuple[Path, ...]
    sockets: tuple[str, ...] = ()
    rows: Path | None = None

    def holds(self, path: str) -> bool:
        return any(path == str(folder) or path.startswith(f"{folder}/") for folder in self.folders)


@dataclass(frozen=True)
class Event:
    """Something a thread did: ``kind`` is ``point``, ``effect`` or ``rows``."""

    kind: str
    what: str


@dataclass
class _Thread:
    """How one thread stands: the last point it passed, and what it has changed since."""

    passed: str | None = None
    effect: str | None = None
    rows: bool = False
    faults: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        if event.kind == "point":
            self.passed, self.effect, self.rows = event.what, None, False
        elif event.kind == "rows":
            if self.effect is not None:
                self.faults.append(f"{self.effect}, then a change of rows, and no point between (after {self.passed})")
            self.rows = True
        elif event.what != self.effect:
            self._take_effect(event.what)

    def _take_effect(self, what: str) -> None:
        if self.passed is None:
            self.faults.append(f"{what}, and no point before")
        elif self.rows:
            self.faults.append(f"a change of rows, then {what}, and no point between (after {self.passed})")
        elif self.effect is not None:
            self.faults.append(f"{self.effect}, then {what}, and no point between (after {self.passed})")
        self.effect = what

    def ended(self) -> list[str]:
        if self.effect is not None:
            self.faults.append(f"{self.effect}, and no point after (after {self.passed})")
        return self.faults


def command(trace: Path) -> tuple[str, ...]:
    """What a command is put behind to be traced into ``trace``. The tracer is not its parent, and lets tgtd go."""
    calls = ",".join(f"?{call}" for call in _CALLS)
    words = ("strace", "-D", "-f", "-y", "-b", "execve", "-s", str(_KEPT), "-o", str(trace))
    return (*words, "-e", f"trace={calls}", "-e", "signal=none")


def becoming_volumed(trace: Path) -> tuple[str, ...]:
    """The wrapper of a ``Daemon`` whose points are seen, too."""
    return (*command(trace), sys.executable, "-m", "tests.lab.traced")


def environment() -> Mapping[str, str]:
    """What the traced program needs to find this module."""
    return {"PYTHONPATH": str(Path(__file__).parents[2])}


def wait_for_end(daemon: Daemon) -> None:
    """Wait until the tracer of a daemon that has ended is gone, so that nothing is missing in its trace."""
    deadline = time.monotonic() + PATIENCE
    while any(_is_tracer(process) for process in daemon.processes()):
        assert time.monotonic() < deadline, "the trace does not end"
        time.sleep(0.05)


def _is_tracer(process: psutil.Process) -> bool:
    try:
        return bool(process.name() == "strace")
    except psutil.NoSuchProcess:
        return False


def uncovered(trace: Path, watched: Watched) -> list[str]:
    """Effects that no crash point stands before, after or between; in sentences."""
    threads: dict[str, _Thread] = {}
    for thread, event in events(trace, watched):
        threads.setdefault(thread, _Thread()).take(event)
    return [fault for thread in threads.values() for fault in thread.ended()]


def passed(trace: Path, watched: Watched) -> set[str]:
    """The names of all points."""
    return {event.what for _, event in events(trace, watched) if event.kind == "point"}


def events(trace: Path, watched: Watched) -> Iterator[tuple[str, Event]]:
    """What threads did, each in its order. A child that is about to become a program acts for who made it."""
    calls = list(_calls(trace.read_text(errors="replace").splitlines()))
    makers = dict(_children(calls))  # known before: a vfork is told after all that its child did
    reader = _Reader(watched, frozenset(makers))
    for thread, call in calls:
        yield from ((makers.get(thread, thread), event) for event in reader.read(thread, call))


def _children(calls: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each process that was made, with the thread that made it."""
    for thread, call in calls:
        found = _CALL.match(call)
        if found and found["name"] in _FORKS and "CLONE_THREAD" not in call and (found["result"] or "-")[0] != "-":
            yield found["result"], thread


def _calls(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Whole calls; strace tells one in two lines where another thread came between."""
    begun: dict[str, str] = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        thread, rest = found["thread"], found["rest"]
        resumed = _RESUMED.fullmatch(rest)
        if rest.startswith("execve(") and rest.endswith("<unfinished ...>"):
            yield thread, rest.replace("<unfinished ...>", "<detached ...>")  # it is let go there: no line comes after
        elif rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>").rstrip()
        elif resumed is not None:
            yield thread, begun.pop(thread, "") + resumed["rest"]
        else:
            yield thread, rest


class _Reader:
    """Makes events of calls; knows which sockets are tgtd's. ``children`` are processes that the program made."""

    def __init__(self, watched: Watched, children: frozenset[str]) -> None:
        self._watched = watched
        self._children = children
        self._sockets: set[str] = set()

    def read(self, thread: str, call: str) -> Iterator[Event]:
        found = _CALL.match(call)
        if found is None:
            return
        name, arguments, result = found["name"], found["arguments"], found["result"]
        texts = [_text(text) for text in _TEXT.findall(arguments)]
        if name in ("access", "faccessat", "faccessat2"):
            point = next((text for text in texts if text.startswith(POINTS)), None)
            if point is not None:
                yield Event("point", point.removeprefix(POINTS))
        elif name == "execve":
            if thread in self._children:
                yield Event("effect", f"execve of {texts[0]}")
        elif result is None or result.startswith("-"):
            return  # what failed has changed nothing
        elif name == "pidfd_send_signal":
            yield Event("effect", "a signal")
        elif name == "connect":
            if texts and texts[0].rpartition("/")[2] in self._watched.sockets:
                self._sockets.add(_descriptors(arguments)[0])
        elif name in ("sendto", "sendmsg"):
            yield from self._request(arguments)
        else:
            yield from self._change(name, arguments, texts)

    def _request(self, arguments: str) -> Iterator[Event]:
        """A request on a management socket begins with its mode and operation."""
        if (_descriptors(arguments) or [""])[0] not in self._sockets:
            return
        head = ast.literal_eval(f'b"{_TEXT.findall(arguments)[0]}"')
        mode, operation = head[0], head[4] if len(head) > 4 else -1
        if operation != _SHOW:
            yield Event("effect", f"request {mode}/{operation} to tgtd")

    def _change(self, name: str, arguments: str, texts: list[str]) -> Iterator[Event]:
        if name in ("open", "openat") and not re.search(r"O_CREAT|O_TRUNC|O_TMPFILE", arguments):
            return
        if name == "ioctl" and "FICLONE" not in arguments:
            return
        places = texts if name in _NAMED else [each.partition("<")[2][:-1] for each in _descriptors(arguments)]
        if name == "copy_file_range":
            places = places[1:]
        touched = next((place for place in places if self._watched.holds(place)), None)
        if touched is not None:
            yield Event("effect", f"{name} of {touched}")
        rows = self._watched.rows
        if rows is not None and any(place.startswith(str(rows)) for place in places):
            yield Event("rows", name)


def _text(text: str) -> str:
    return str(ast.literal_eval(f'b"{text}"').decode(errors="replace"))


def _descriptors(arguments: str) -> list[str]:
    return [str(each) for each in _DESCRIPTOR.findall(arguments)]


def mark(name: str) -> None:
    """Pass the point ``name`` so that strace sees it."""
    os.access(f"{POINTS}{name}", os.F_OK)


def _become_volumed(words: list[str]) -> int:
    """``words`` are the command that ``Daemon`` would run."""
    from tests.lab import watched
    from volumed.launch import concurrency

    concurrency.choose_threading()
    watched.note_secrets(Path(os.environ[watched.NOTES]))

    from volumed.cmd import volumed
    from volumed.model import crash_points

    crash_points.watch(mark)
    return volumed.main(words[words.index("up") :])


if __name__ == "__main__":
    sys.exit(_become_volumed(sys.argv))
