"""An attach as a compute host has it, from the API call to the end of the login, beside the bare login: in a guest.

``measure`` boots one and runs this module in it; there ``main`` measures, and prints what it found as JSON.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.figure import Figure, milliseconds
from tests.lab.guest.machine import guest
from tests.lab.lvm_backend import volume_group
from tests.lab.node_client import Client

#: Attaches of which the median is told.
ROUNDS = 15

#: Seconds that all of it may take.
PATIENCE = 900.0

ADDRESS = "127.0.0.1:8776"

INITIATOR = Path("/etc/iscsi/initiatorname.iscsi")

BACKEND = "node"

CONFIGURATION = """\
[DEFAULT]
enabled_backends = node
[node]
volume_driver = lvm
volume_group = vg
lvm_type = thin
target_helper = lio
target_port = 3260
lio_helper_socket = {folder}/lio.sock
"""


def measure() -> Iterator[Figure]:
    """The whole, and its first part alone."""
    with guest(blank=[24]) as machine:
        done = machine.run([sys.executable, "-m", "bench.attach"], timeout=PATIENCE, folder=Path.cwd())
    assert done.status == 0, done.complaint
    told = json.loads(done.output.splitlines()[-1])
    login = told["record"] + told["login"]
    yield Figure("attach: API call to login done, p50", told["whole"], "ms", "-", login, "iscsiadm: record and login")
    yield Figure("attach: the API call, p50", told["asked"], "ms", "-", told["login"], "iscsiadm --login alone")


def main() -> None:
    """In the guest."""
    with tempfile.TemporaryDirectory() as folder, volume_group("vg", "/dev/ubda"), served(Path(folder)) as client:
        subprocess.run(["iscsid"], check=True)
        client.add_type(BACKEND)
        volume = client.create(BACKEND)
        client.wait(f"/volumes/{volume}")
        rounds = [attached(client, volume) for _ in range(ROUNDS)]
        client.ask("DELETE", f"/volumes/{volume}")
        client.wait(f"/volumes/{volume}", "gone")
    print(json.dumps({name: statistics.median(each[name] for each in rounds) for name in rounds[0]}))


@contextmanager
def served(folder: Path) -> Iterator[Client]:
    """``volumed up`` with one backend."""
    (folder / "volumed.conf").write_text(CONFIGURATION.format(folder=folder))
    command = [sys.executable, "-u", "-m", "volumed.cmd.volumed", "up", "--state", str(folder), "--listen", ADDRESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "volumed serves" in line:
                break
        else:
            raise RuntimeError("".join(said))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            yield Client(f"http://{ADDRESS}")
        finally:
            process.terminate()


def attached(client: Client, volume: str) -> dict[str, float]:
    """Milliseconds of one attach: ``asked``, then open-iscsi's ``record`` and ``login``, and the ``whole``."""
    told: dict[str, Any] = {}
    name = INITIATOR.read_text().partition("InitiatorName=")[2].split()[0]
    connector = {"initiator": name, "host": "compute", "ip": "127.0.0.1"}
    body = {"attachment": {"volume_uuid": volume, "connector": connector}}
    asked = milliseconds(lambda: told.update(client.ask("POST", "/attachments", body)["attachment"]))
    info = told["connection_info"]
    record = milliseconds(lambda: make_record(info))
    login = milliseconds(lambda: node(info, "--login"))
    node(info, "--logout")
    node(info, "-o", "delete")
    client.ask("DELETE", f"/attachments/{told['id']}")
    client.wait(f"/attachments/{told['id']}", "gone")
    return {"asked": asked, "record": record, "login": login, "whole": asked + record + login}


def make_record(info: dict[str, Any]) -> None:
    """As os-brick does, a run of ``iscsiadm`` for each value."""
    node(info, "-o", "new")
    values = {"authmethod": "CHAP", "username": info["auth_username"], "password": info["auth_password"]}
    for key, value in values.items():
        node(info, "-o", "update", "-n", f"node.session.auth.{key}", "-v", value)


def node(info: dict[str, Any], *words: str) -> None:
    command = ["iscsiadm", "-m", "node", "-T", info["target_iqn"], "-p", info["target_portal"], *words]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    Path("/run/lock/iscsi").mkdir(parents=True, exist_ok=True)
    main()
