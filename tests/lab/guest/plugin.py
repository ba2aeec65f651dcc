"""Tests that are marked ``guest`` run inside a guest; pytest on the host reports them as if they ran beside the others.

On the host, the first such test boots a guest and starts one pytest in it, which imports everything once and then runs
what it is told, test by test; its reports are reported here. In the guest the same module is loaded, as the other end.
"""

import json
import os
import queue
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TextIO

import pytest

from tests.lab.guest.machine import GuestDied, Job, Machine

if TYPE_CHECKING:
    from tests.lab.guest.session_watch import SessionWatch

#: Set in the guest.
INSIDE = "VOLUMED_GUEST"

#: There, the descriptors on which is told what to run, and what became of it.
REQUESTS, REPORTS = 4, 3

#: GiB of the blank disks that every guest of marked tests has: /dev/ubda and /dev/ubdb.
DISKS = (24, 24)

#: Seconds for a guest to be ready.
PATIENCE = 280.0

#: Seconds by which a test in a guest ends before its own limit, so that what the guest said is told.
EARLIER = 20.0


def pytest_configure(config: pytest.Config) -> None:
    if INSIDE in os.environ:
        from tests.lab.guest.session_watch import SessionWatch

        watch = SessionWatch()
        watch.begin()
        config.pluginmanager.register(Inside(os.fdopen(REQUESTS), os.fdopen(REPORTS, "w"), watch), "guest-inside")
    else:
        config.pluginmanager.register(Outside(), "guest-outside")


class Inside:
    """In the guest: runs the tests that it is told, and tells their reports, under a watch for their secrets."""

    def __init__(self, requests: TextIO, reports: TextIO, watch: "SessionWatch") -> None:
        self._requests = requests
        self._reports = reports
        self._watch = watch

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self._tell({"ready": len(items)})
        for line in self._requests:
            asked = json.loads(line)
            item, next_item = items[asked["run"]], items.get(asked["next"])
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
            self._tell({"done": item.nodeid})
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        self._watch.look_at_targets()
        if nextitem is None or nextitem.path != item.path:
            self._watch.look_at_machine()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tell({"report": self._watch.judged(report)._to_json()})

    def _tell(self, message: dict[str, Any]) -> None:
        self._reports.write(json.dumps(message, default=str) + "\n")
        self._reports.flush()


class Outside:
    """On the host: hands marked tests over. One guest at a time, for as long as tests want the same kind."""

    def __init__(self) -> None:
        self._files: dict[bool, list[str]] = {}
        self._session: Session | None = None
        #: What kept a guest from running tests at all: it would keep the next one too.
        self._hopeless: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if (mark := item.get_closest_marker("guest")) is not None:
                files = self._files.setdefault(_udev(mark), [])
                if str(item.path) not in files:
                    files.append(str(item.path))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        from tests.conftest import missing

        mark = item.get_closest_marker("guest")
        if mark is None or missing("guest") is not None:
            return None  # where it is missing the test's own setup says so
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item, nextitem, _udev(mark)):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_sessionfinish(self) -> None:
        self._close()

    def _reports(self, item: pytest.Item, next_item: pytest.Item | None, udev: bool) -> Iterator[pytest.TestReport]:
        start = time.time()
        try:
            patience = _limit(item) - EARLIER
            yield from self._ready(item.config, udev).run(item.nodeid, _next(next_item, udev), patience)
        except (GuestDied, TimeoutError) as error:
            self._close()
            if self._hopeless is None or os.environ.get("CI") == "true":
                yield _report(item, "failed", self._hopeless or str(error), start)
            else:
                where = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {self._hopeless}")
                yield _report(item, "skipped", where, start)

    def _ready(self, config: pytest.Config, udev: bool) -> "Session":
        if self._hopeless is not None:
            raise GuestDied(self._hopeless)
        if self._session is None or self._session.udev != udev:
            self._close()
            self._session = Session(udev)
            self._start(config, self._session)
        return self._session

    def _start(self, config: pytest.Config, session: "Session") -> None:
        try:
            session.start(config, self._files[session.udev])
        except Exception as error:
            self._hopeless = f"no guest runs tests here: {error}"
            raise GuestDied(self._hopeless) from error

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end()


class Session:
    """One guest with one pytest in it."""

    def __init__(self, udev: bool) -> None:
        self.udev = udev
        self._machine = Machine(blank=DISKS, udev=udev)
        self._told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._rest = b""
        self._said: list[bytes] = []
        self._job: Job | None = None

    def start(self, config: pytest.Config, files: list[str]) -> None:
        """Boot, and collect the tests of ``files`` there."""
        self._machine.boot()
        # Its input and output are requests and reports; what else is said there goes with its complaints.
        script = f'exec "$0" -m pytest "$@" {REQUESTS}<&0 </dev/null {REPORTS}>&1 >&2'
        options = ["-n", "0", "-q", "--capture=fd", "--log-level=DEBUG", "-p", "no:cacheprovider"]
        options += ["-m", config.option.markexpr]
        self._job = self._machine.start(
            ["sh", "-c", script, sys.executable, *options, "--rootdir", str(config.rootpath), *files],
            environment={INSIDE: "1", "PYTHONDONTWRITEBYTECODE": "1"},
            folder=config.rootpath,
            listener=self._hear,
            fed=True,
        )
        self._wait(PATIENCE)

    def run(self, nodeid: str, next_nodeid: str | None, patience: float) -> Iterator[pytest.TestReport]:
        """Run one test; whatever it needs that ``next_nodeid`` does not is torn down with it.

        Raises ``TimeoutError`` when nothing comes from it for ``patience`` seconds.
        """
        assert self._job is not None
        self._job.feed(json.dumps({"run": nodeid, "next": next_nodeid}).encode() + b"\n")
        while "done" not in (message := self._wait(patience)):
            yield _restored(message["report"])

    def end(self) -> None:
        self._machine.crash()

    def _wait(self, patience: float) -> dict[str, Any]:
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._told.get(timeout=1)
            except queue.Empty:
                self._complain(deadline, patience)

    def _complain(self, deadline: float, patience: float) -> None:
        assert self._job is not None
        said = b"".join(self._said)[-10000:].decode(errors="replace")
        if not self._machine.running:
            raise GuestDied(f"the guest died: {said}\n{self._machine.console()}")
        if not self._job.running:
            raise GuestDied(f"pytest ended in the guest: {said}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came from the guest in {patience:g} s: {said}\n{self._machine.console()}")

    def _hear(self, stream: int, data: bytes) -> None:
        if stream == 2:
            self._said.append(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._told.put(json.loads(line))


def _udev(mark: pytest.Mark) -> bool:
    return bool(mark.kwargs.get("udev", False))


def _limit(item: pytest.Item) -> float:
    """Seconds that the test may take: its own, or the suite's."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0] if mark is not None else item.config.getini("timeout"))


def _next(next_item: pytest.Item | None, udev: bool) -> str | None:
    mark = None if next_item is None else next_item.get_closest_marker("guest")
    return next_item.nodeid if next_item is not None and mark is not None and _udev(mark) == udev else None


def _restored(report: dict[str, Any]) -> pytest.TestReport:
    """What JSON made a list of was a tuple: where and why a test was skipped."""
    if isinstance(report["longrepr"], list):
        report["longrepr"] = tuple(report["longrepr"])
    return pytest.TestReport._from_json(report)


def _report(
    item: pytest.Item, outcome: Literal["failed", "skipped"], told: str | tuple[str, int, str], start: float
) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome=outcome,
        longrepr=told,
        when="call",
        start=start,
        stop=time.time(),
        duration=time.time() - start,
    )
