"""The watches over what runs in guests find a secret wherever one is planted."""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.guest import node_watch
from volumed.model.credentials import new_credentials

#: Seconds for the watch to see a program.
PATIENCE = 30.0

PLANTED = "tests/guest/planted_secrets.py"

#: Where the watch over a guest's tests must say that it found the secret of each.
FOUND = {
    "argument": "cmdline of process N",
    "environment": "environ of process N",
    "log": f"Captured log call of {PLANTED}::test_log",
    "output": f"Captured stderr call of {PLANTED}::test_output",
    "error": "an error BackendUnreachable",
    "failure": f"the report of {PLANTED}::test_failure",
    "attribute": "file /sys/kernel/config/target/iscsi/iqn.2026-01.test:planted/tpgt_1/auth/password, "
    "which everybody may read",
    "of_a_forked_process": f"Captured stdout call of {PLANTED}::test_of_a_forked_process",
    "file": "file /run/left, which everybody may read', 'file /run/written/etc/left, which everybody may read",
}


@pytest.mark.slow
@pytest.mark.part("guest")
def test_a_test_in_a_guest_that_has_a_password_where_none_may_be_fails(tmp_path: Path) -> None:
    told = tmp_path / "told.xml"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={told}", PLANTED]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTEST_ADDOPTS": ""})
    cases = {case.attrib["name"].removeprefix("test_"): case for case in ElementTree.parse(told).iter("testcase")}
    texts = {name: " ".join(part.text or "" for part in case) for name, case in cases.items()}
    assert "take new_credentials()" in texts.pop("odd"), done.stdout
    assert not len(cases.pop("what_may")), texts.pop("what_may")
    del texts["what_may"]
    found = {name: re.findall(r"secrets are in \['(.*)'\]", text) for name, text in texts.items()}
    assert {name: re.sub(r"\d+$", "N", "".join(places)) for name, places in found.items()} == FOUND


@contextmanager
def watching(folder: Path, state: Path) -> Iterator["subprocess.Popen[str]"]:
    """The watch over a node, run beside it."""
    command = [sys.executable, "-m", "tests.lab.guest.node_watch", str(folder), str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline() == "watching\n"
        try:
            yield watch
        finally:
            watch.kill()


def asked(watch: "subprocess.Popen[str]", question: str) -> list[str]:
    assert watch.stdin is not None
    assert watch.stdout is not None
    watch.stdin.write(question + "\n")
    watch.stdin.flush()
    answer: list[str] = json.loads(watch.stdout.readline())
    return answer


def test_the_watch_over_a_node_finds_the_secrets_that_its_daemon_noted(tmp_path: Path) -> None:
    state, secret = tmp_path / "state", new_credentials()["password"]
    state.mkdir()
    (tmp_path / "noted").write_text(f"{secret}\n")
    told = [("POST", "/attachments"), ("GET", "/volumes/1")]
    answers = [json.dumps({"method": method, "path": path, "status": 200, "content": secret}) for method, path in told]
    with watching(tmp_path, state) as watch:
        assert asked(watch, node_watch.PROCESSES) == []
        with subprocess.Popen(["sh", "-c", "read _", secret], stdin=subprocess.PIPE) as program:
            found = [f"cmdline of process {program.pid}"]
            deadline = time.monotonic() + PATIENCE
            while asked(watch, node_watch.PROCESSES) != found:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        (tmp_path / "log").write_text(f"it said {secret}\n")
        (tmp_path / "answers").write_text("\n".join(answers) + "\n")
        (state / "left").write_text(f"{secret}2")
        found += [f"file {state}/left"]
        assert asked(watch, node_watch.FILES) == sorted([*found, f"file {tmp_path}/log"])
        found += [f"file {tmp_path}/log", "answer 200 to GET /volumes/1"]
        assert asked(watch, node_watch.EVERYTHING) == sorted(found)
