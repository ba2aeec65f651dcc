"""The asking end of LIO's helper, with a listener in its place that dies at the moment a test needs."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from volumed_drivers.helper.client import Client
from volumed_drivers.helper.wire import MOST_ASKED, Unanswered, receive, send
from volumed_drivers.targets.lio.requests import PROTOCOL, Remove, Scope, of_words
from volumed_drivers.targets.lio.target import helper_for

SCOPE = Scope("0123456789ab", "iqn.2010-10.org.openstack:volume-", ("127.0.0.1:3260",))


@contextmanager
def helper_that(path: Path, *does: str) -> Iterator[list[str]]:
    """Listens on ``path``, and ``answers`` or ``dies`` on one connection after another: what it heard.

    ``answers, and dies when asked again`` and ``answers, and closes`` are what it does with one that is kept.
    """
    heard: list[str] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        for what in does:
            stream, _ = listener.accept()
            with stream:
                words, _ = receive(stream, MOST_ASKED)
                heard.append(type(of_words(words)).__name__)
                if what.startswith("answers"):
                    send(stream, json.dumps({"done": {"protocol": PROTOCOL, "pid": 1}}).encode())
                if what.endswith("asked again"):
                    words, _ = receive(stream, MOST_ASKED)
                    heard.append(type(of_words(words)).__name__)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with closing(listener):
        yield heard
        thread.join(30)


def test_what_changes_nothing_is_asked_again_when_the_helper_dies_with_it(tmp_path: Path) -> None:
    with helper_that(tmp_path / "lio.sock", "dies", "answers") as heard:
        Client(helper_for("/dev/"), tmp_path / "lio.sock").meet()
    assert heard == ["Hello", "Hello"]


def test_and_only_once(tmp_path: Path) -> None:
    with helper_that(tmp_path / "lio.sock", "dies", "dies") as heard, pytest.raises(Unanswered, match="answer hello"):
        Client(helper_for("/dev/"), tmp_path / "lio.sock").meet()
    assert heard == ["Hello", "Hello"]


def test_what_changes_something_may_have_worked(tmp_path: Path) -> None:
    with helper_that(tmp_path / "lio.sock", "dies") as heard, pytest.raises(Unanswered, match="answer remove"):
        Client(helper_for("/dev/"), tmp_path / "lio.sock").ask(Remove(SCOPE, "volume", False))
    assert heard == ["Remove"]


def test_also_on_a_connection_that_was_kept(tmp_path: Path) -> None:
    with helper_that(tmp_path / "lio.sock", "answers, and dies when asked again") as heard:
        client = Client(helper_for("/dev/"), tmp_path / "lio.sock")
        client.meet()
        with pytest.raises(Unanswered, match="answer remove"):
            client.ask(Remove(SCOPE, "volume", False))
    assert heard == ["Hello", "Remove"]


def test_a_kept_connection_that_the_helper_has_closed_is_not_used(tmp_path: Path) -> None:
    with helper_that(tmp_path / "lio.sock", "answers, and closes", "answers") as heard:
        client = Client(helper_for("/dev/"), tmp_path / "lio.sock")
        client.meet()
        time.sleep(0.2)
        client.ask(Remove(SCOPE, "volume", False))
    assert heard == ["Hello", "Remove"]
