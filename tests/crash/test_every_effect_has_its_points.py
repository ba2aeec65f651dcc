"""No effect is without its crash points: every operation runs under strace, and the program lists what is missing.

An **effect** is a call that changed something on the backend: in the pool folder or the target's folder a file or name
that was made, linked, renamed, removed, cut, grown or written; a program that was started or sent a signal; a request
to tgtd's management socket that is not a question. A call that failed changed nothing. A call repeated on the same
thing is one effect in pieces (a copy, a delete that is tried until nobody is logged in): killed between two pieces, the
world is as if killed in one of them.

An effect **has its points** when, on its own thread, a point was passed before it and one after it, and when between it
and the neighbouring effect, or the neighbouring change of rows, a point stands too. So each state of backend and rows
that a thread can leave behind is the one before or after a point; and where a process can be killed at each of the
points, as the tests beside this one do, no such state is forgotten.

A target's log and the locks of the node are not counted: nobody reads the one, and the kernel drops the others.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.crash import failing, scenarios
from tests.crash.killing import FAULTY_CONFIGURATION
from tests.crash.scenarios import CONNECTOR, PATIENCE, Stage
from tests.lab import traced
from tests.lab.daemon import Daemon, looked_after
from tests.lab.traced import Watched, uncovered

pytestmark = [pytest.mark.part("strace"), pytest.mark.part("tgtd")]

DRIVERS = Path(__file__).parents[2] / "drivers" / "volumed_drivers"

#: Points that no operation passes here, each with where it is killed at, or why it cannot be.
PASSED_ELSEWHERE = {
    "file.copy.given_up": "a copy that fails: tests/unit/test_drivers_file.py",
    "file.copy.forgotten": "a copy that fails: tests/unit/test_drivers_file.py",
    "tgt.cut.before": "an initiator that is logged in: tests/unit/test_drivers_tgt.py",
    "tgt.cut.after": "an initiator that is logged in: tests/unit/test_drivers_tgt.py",
    "tgt.lun_delete.before": "an export whose volume grew: tests/unit/test_drivers_tgt.py",
    "tgt.lun_delete.after": "an export whose volume grew: tests/unit/test_drivers_tgt.py",
    "tgt.portal.before": "a new portal in the configuration: tests/unit/test_drivers_tgt.py",
    "tgt.portal.after": "a new portal in the configuration: tests/unit/test_drivers_tgt.py",
    "tgt.old_file.before": "a file of an earlier manager: tests/unit/test_drivers_tgt.py",
    "tgt.old_file.after": "a file of an earlier manager: tests/unit/test_drivers_tgt.py",
    "tgt.log.cut": "a log of 4 MiB",
}


#: Rooms whose points a daemon with files and tgtd does not pass; the conformance suite kills at each of them.
PLAYED_ELSEWHERE = ("fake.", "lio.", "lvm.", "rbd.")


class Lives:
    """One daemon's lives, each with its trace."""

    def __init__(self, folder: Path) -> None:
        self.daemon = Daemon(folder, environment=traced.environment())
        self.daemon.state.mkdir(mode=0o700)
        (self.daemon.state / "volumed.conf").write_text(FAULTY_CONFIGURATION)
        self.traces: list[Path] = []
        state = self.daemon.state
        self.watched = Watched((state / "pool", state / "tgt" / "file"), ("control.0",), state / "volumed.db")
        self.next()

    def next(self) -> None:
        """The next start has a trace of its own."""
        self.traces.append(self.daemon.folder / f"trace-{len(self.traces)}")
        self.daemon.wrapper = traced.becoming_volumed(self.traces[-1])

    def end(self, how: Callable[[], object]) -> None:
        how()
        traced.wait_for_end(self.daemon)

    def uncovered(self) -> list[str]:
        return [fault for trace in self.traces for fault in uncovered(trace, self.watched)]

    def passed(self) -> set[str]:
        return {point for trace in self.traces for point in traced.passed(trace, self.watched)}


@pytest.fixture
def lives() -> Iterator[Lives]:
    lives = Lives(Path(tempfile.mkdtemp(prefix="volumed-")))
    with looked_after(lives.daemon):
        yield lives


@pytest.mark.slow
def test_every_effect_of_every_operation_stands_between_two_points(lives: Lives) -> None:
    stage = Stage(lives.daemon)
    for scenario in (*scenarios.ALL, *failing.ALL):
        stage.made.clear()
        scenario.prepare(stage)
        scenario.check(stage, scenario.ask(stage))
        scenario.clean(stage)
    _restore_exports(lives, stage)
    lives.end(lives.daemon.stop)
    assert lives.uncovered() == []
    named = {
        name for path in DRIVERS.rglob("*.py") for name in re.findall(r'crash_point\("([\w.]+)"\)', path.read_text())
    }
    never = {name for name in named - lives.passed() if not name.startswith(PLAYED_ELSEWHERE)}
    assert never == PASSED_ELSEWHERE.keys()


def _restore_exports(lives: Lives, stage: Stage) -> None:
    """The start after a power cut: an attached volume is exported again."""
    volume_id = stage.volume()
    stage.rest.attach(volume_id, CONNECTOR["initiator"])
    lives.end(lives.daemon.kill)
    left = lives.daemon.processes()
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=PATIENCE)
    lives.next()
    lives.daemon.start()
    stage.is_well()
    assert stage.outside.targets() == {volume_id}


# --- the test is tested -----------------------------------------------------------------------------------------------

#: What the programs below begin with: their folder, and a point.
PREAMBLE = """
import os, socket, subprocess, sys, threading
os.chdir(sys.argv[1])
point = lambda name: os.access("/volumed-crash-point/" + name, os.F_OK)
path = lambda name: os.path.join(sys.argv[1], name)
def show(op):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect("control.0")
        stream.sendall(bytes([1, 0, 0, 0, op, 0, 0, 0]) + bytes(112))
"""

COVERED = {
    "each effect between two points": """
point("a"); os.open(path("one"), os.O_CREAT | os.O_WRONLY); point("b"); os.rename(path("one"), path("two")); point("c")
""",
    "a copy in pieces": """
point("a"); descriptor = os.open(path("one"), os.O_CREAT | os.O_WRONLY); point("b")
os.write(descriptor, b"1"); os.write(descriptor, b"2"); point("c")
""",
    "what fails changes nothing": """
point("a")
for name in ("absent", "gone"):
    try: os.unlink(path(name))
    except FileNotFoundError: pass
""",
    "another folder is nobody's": "os.mkdir(sys.argv[1] + '-beside')",
    "reading": "os.listdir(path('.')); open(path('old')).read()",
    "a question to tgtd": "show(2)",
    "a program between two points": """
point("a"); subprocess.run(["/bin/true"]); point("b"); os.unlink(path("old")); point("c")
""",
    "two threads, each with its own": """
def work(name):
    point("a"); os.close(os.open(path(name), os.O_CREAT | os.O_WRONLY)); point("b")
threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
""",
}

FORGOTTEN = {
    "no point before": ("os.unlink(path('old')); point('b')", "unlink of .*/old, and no point before"),
    "no point after": ("point('a'); os.unlink(path('old'))", "unlink of .*/old, and no point after"),
    "none between two": (
        "point('a'); os.rename(path('old'), path('new')); os.unlink(path('new')); point('b')",
        "rename of .*/old, then unlink of .*/new, and no point between",
    ),
    "a file that is made": ("open(path('one'), 'w'); point('b')", "openat of .*/one, and no point before"),
    "a write": ("stream = open(path('old'), 'r+'); stream.write('x'); stream.flush()", "write of .*/old"),
    "a file that is cut": ("point('a'); os.truncate(path('old'), 0)", "truncate of .*/old, and no point after"),
    "a file that grows": ("point('a'); os.ftruncate(os.open(path('old'), os.O_RDWR), 9)", "ftruncate of .*/old"),
    "a folder": ("os.mkdir(path('folder'))", "mkdir of .*/folder"),
    "a copy": (
        "point('a'); one, two = os.open(path('old'), os.O_RDWR), os.open(path('other'), os.O_RDWR)\n"
        "os.copy_file_range(one, two, 1)",
        "copy_file_range of .*/other, and no point after",
    ),
    "a program": ("subprocess.run(['/bin/true']); point('b')", "execve of /bin/true, and no point before"),
    "a request to tgtd": ("show(0)", "request 1/0 to tgtd, and no point before"),
    "the point of another thread": (
        "point('a'); thread = threading.Thread(target=os.unlink, args=(path('old'),)); thread.start(); thread.join()\n"
        "point('b')",
        "unlink of .*/old, and no point before",
    ),
    "rows that change after an effect": (
        "point('a'); os.unlink(path('old')); os.write(os.open('../rows', os.O_RDWR), b'1'); point('b')",
        "unlink of .*/old, then a change of rows",
    ),
    "rows that change before an effect": (
        "point('a'); os.write(os.open('../rows', os.O_RDWR), b'1'); os.unlink(path('old')); point('b')",
        "a change of rows, then unlink of .*/old",
    ),
}


def _trace_of(program: str, folder: Path) -> list[str]:
    """What is uncovered in the program, which works in a folder with two files and a socket that answers nothing."""
    pool = folder / "pool"
    pool.mkdir()
    (pool / "old").write_text("old")
    (pool / "other").write_text("other")
    (folder / "rows").write_text("rows")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(pool / "control.0"))  # a socket's path may have 107 bytes
        listening.listen()
        wrapper = [word for word in traced.command(folder / "trace") if word != "-D"]
        subprocess.run([*wrapper, sys.executable, "-c", PREAMBLE + program, str(pool)], check=True, timeout=60)
    return uncovered(folder / "trace", Watched((pool,), ("control.0",), folder / "rows"))


@pytest.mark.parametrize("program", COVERED.values(), ids=COVERED)
def test_what_stands_between_two_points_is_in_order(tmp_path: Path, program: str) -> None:
    assert _trace_of(program, tmp_path) == []


@pytest.mark.parametrize(("program", "told"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_an_effect_without_its_points_is_found(tmp_path: Path, program: str, told: str) -> None:
    found = _trace_of(program, tmp_path)
    assert any(re.match(told, each) for each in found), found
