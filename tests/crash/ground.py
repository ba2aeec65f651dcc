"""One server for many examples: two file backends that fail as told, real targets, crash points that kill on demand.

An example leaves it as it found it; what an example that failed leaves is thrown away with the server.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import requests

from tests.lab.daemon import PATIENCE, Session
from tests.lab.faulty_fleet import Fleet, faulty_fleet
from tests.lab.nursery import Held

BACKENDS = ("a", "b")

#: What is held or waits for a restart on a loaded machine shall be waited for, not given up.
OPTIONS = {"placement_timeout": 120, "blocked_after": 600, "stuck_timeout": 3600}

#: The quota that a fresh example begins with.
PLENTY = {"volumes": 1000, "snapshots": 1000, "gigabytes": 10_000}

Ask = Callable[[], requests.Response]


class ExampleFailed(Exception):
    """Thrown into what an example used, so that it ends without asking whether all is well."""


class Ground:
    """The server, started when it is first needed."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._life = ExitStack()

    @property
    def fleet(self) -> Fleet:
        if self._fleet is None:
            self._fleet = self._life.enter_context(faulty_fleet(*BACKENDS, target="tgt", options=OPTIONS))
            self._fleet.rest.put("/os-quota-sets/admin", json={"quota_set": PLENTY}).raise_for_status()
        return self._fleet

    def close(self) -> None:
        """Stop it in order; nothing may be left of it."""
        self._fleet = None
        self._life.close()

    def spoil(self) -> None:
        """Throw it away: nobody knows what state it is in."""
        self._fleet = None
        life, self._life = self._life, ExitStack()
        failure = ExampleFailed()
        with suppress(ExampleFailed):
            life.__exit__(ExampleFailed, failure, None)


class Server:
    """What an example does to the server, and what it learns from it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.outside = fleet.outside
        self._hold = ExitStack()

    @property
    def rest(self) -> Session:
        return self.fleet.rest

    # --- dying ------------------------------------------------------------------------------------------------------

    def ask_and_be_killed(self, ask: Ask, point: str) -> requests.Response:
        """Ask, die at ``point``, start again; the answer, of a second asking where the first got none."""
        trap = self.fleet.daemon.trap
        trap.arm(point)
        answer = None
        try:
            answer = ask()
        except requests.RequestException:
            pass
        if answer is not None and 400 <= answer.status_code < 500:
            trap.disarm()  # refused: nobody comes to the point
            return answer
        self.fleet.daemon.wait_for_death()
        self.revive()
        return ask() if answer is None or answer.status_code >= 500 else answer

    def kill(self) -> None:
        """``kill -9``, and start again."""
        self.fleet.daemon.kill()
        self.revive()

    def revive(self) -> None:
        self.let_go()
        self.rest.close()
        self.fleet.start()

    # --- work under way ---------------------------------------------------------------------------------------------

    def hold(self, point: str) -> Held:
        """Whoever comes to ``point`` stays there until ``let_go``."""
        return self._hold.enter_context(self.fleet.daemon.trap.holding(point))

    def let_go(self) -> None:
        self._hold.close()

    # --- failing ----------------------------------------------------------------------------------------------------

    def order(self, call: str, lasting: bool = False, after: bool = False) -> None:
        """The next call of ``call`` fails on the preferred backend; ``lasting``: all of them on every backend."""
        for name in BACKENDS if lasting else BACKENDS[:1]:
            self.fleet.faults[name].order(call, lasting=lasting, after=after)

    def heal(self) -> None:
        for faults in self.fleet.faults.values():
            faults.clear()

    # --- looking ----------------------------------------------------------------------------------------------------

    def end_of(self, operation: str) -> dict[str, Any]:
        """The operation once it has ended."""
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            found = self.rest.get(f"/operations/{operation}").json()["operation"]
            if found["state"] in ("succeeded", "failed"):
                return dict(found)
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def operation_of(self, answer: requests.Response, kind: str, resource: str) -> str:
        """The operation that a request became; an answer that was given before does not name it."""
        named = answer.headers.get("Volumed-Operation-Id")
        if named is not None:
            return named
        query = {"kind": kind, "resource_id": resource, "sort": "created_at:desc"}
        found = self.rest.get("/operations", params=query).json()["operations"]
        assert found, f"{kind} of {resource} was accepted ({answer.status_code}) without an operation"
        return str(found[0]["id"])

    def listed(self, path: str) -> list[dict[str, Any]]:
        answer = self.rest.get(path)
        assert answer.status_code == 200, answer.text
        return list(next(iter(answer.json().values())))

    def in_use(self) -> dict[str, int]:
        """What of the quota is spent."""
        told = self.rest.get("/os-quota-sets/admin", params={"usage": "true"}).json()["quota_set"]
        return {name: told[name]["in_use"] + told[name]["reserved"] for name in PLENTY}

    def doctor(self) -> list[str]:
        """The findings of one look that saw everything; what stays unseen is told, too."""
        deadline = time.monotonic() + PATIENCE
        while (told := self._look())["not_looked_at"] and time.monotonic() < deadline:
            time.sleep(0.1)
        return [str(each) for each in (*told["findings"], *told["not_looked_at"])]

    def _look(self) -> dict[str, Any]:
        return dict(self.rest.get("/doctor").json()["doctor"])

    def come_to_rest(self) -> list[str]:
        """What differs from the rows, or what the doctor finds, when all is over; empty when nothing does."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.outside.differences() or self.doctor()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found
