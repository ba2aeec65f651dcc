"""Clients that use the demo's fleet while parts of it die: what they got no answer for, they ask again with its key."""

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

#: Seconds after which an answer, or the end of what was accepted, is overdue.
OVERDUE = 120.0

TOKEN = "admin:admin"


@dataclass
class Counts:
    """What all clients together have seen."""

    accepted: int = 0
    ended: int = 0
    asked_again: int = 0
    attached: int = 0
    wrong: list[str] = field(default_factory=list)


class Load:
    """``clients`` threads that each create, attach, detach and delete volumes on the API processes at ``urls``."""

    def __init__(self, urls: list[str], clients: int = 4) -> None:
        self._urls = urls
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self.counts = Counts()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client end what it has begun."""
        self._enough.set()
        for thread in self._threads:
            thread.join(2 * OVERDUE)

    def _run(self, number: int) -> None:
        client = _Client(self._urls, number, self._note)
        while not self._enough.is_set():
            try:
                client.use_one_volume()
            except Exception as error:
                with self._lock:
                    self.counts.wrong.append(str(error))
                return

    def _note(self, what: str) -> None:
        with self._lock:
            setattr(self.counts, what, getattr(self.counts, what) + 1)


class _Client:
    def __init__(self, urls: list[str], number: int, note: Any) -> None:
        self._urls = urls
        self._turn = number
        self._note = note
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"X-Auth-Token": TOKEN, "OpenStack-API-Version": "volume 3.66"})

    def use_one_volume(self) -> None:
        """From the create to the delete."""
        made = self._ask("POST", "/volumes", {"volume": {"size": 1}}, 202)["volume"]["id"]
        self._note("accepted")
        self._wait(f"/volumes/{made}", "available")
        self._note("ended")
        connector = {"initiator": "iqn.2026-11.demo:client", "ip": "127.0.0.1", "host": "client"}
        body = {"attachment": {"volume_uuid": made, "connector": connector}}
        attachment = self._ask("POST", "/attachments", body, 200)["attachment"]["id"]
        self._note("attached")
        self._ask("DELETE", f"/attachments/{attachment}", None, 200)
        self._ask("DELETE", f"/volumes/{made}", None, 202)
        self._note("accepted")
        self._wait(f"/volumes/{made}", None)
        self._note("ended")

    def _ask(self, method: str, path: str, body: Any, expected: int) -> Any:
        """Ask until there is an answer that is not "later"; a repeat of what was done already is fine."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        deadline = time.monotonic() + OVERDUE
        again = False
        while time.monotonic() < deadline:
            answer = self._once(method, path, body, headers)
            if answer is not None and answer.status_code == expected:
                return answer.json() if answer.content else None
            if answer is not None and again and method == "DELETE" and answer.status_code in (400, 404):
                return None  # the first one was heard
            if answer is not None and answer.status_code != 503:
                raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
            again = True
            self._note("asked_again")
            time.sleep(0.3)
        raise AssertionError(f"{method} {path}: no answer within {OVERDUE:.0f} s")

    def _wait(self, path: str, status: str | None) -> None:
        """Wait for the status, or until it is gone."""
        deadline = time.monotonic() + OVERDUE
        while time.monotonic() < deadline:
            answer = self._once("GET", path, None, {})
            if answer is not None and answer.status_code == 404 and status is None:
                return
            if answer is not None and answer.status_code == 200:
                found = answer.json()["volume"]["status"]
                if found == status:
                    return
                if found.startswith("error"):
                    raise AssertionError(f"{path} is {found}: {answer.text}")
            time.sleep(0.05)
        raise AssertionError(f"{path} is not {status or 'gone'} within {OVERDUE:.0f} s")

    def _once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> requests.Response | None:
        self._turn += 1
        url = f"{self._urls[self._turn % len(self._urls)]}/v3{path}"
        try:
            return self._session.request(method, url, json=body, headers=headers, timeout=OVERDUE)
        except requests.RequestException:
            return None
