"""A node in a guest: ``volumed up`` with LVM, LIO and their helpers, under a watch for its secrets."""

import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import node_client, watched
from tests.lab.guest import node_watch
from tests.lab.guest.machine import Job, Machine

#: Seconds for a start in a guest on a busy machine, and for all that a client does.
PATIENCE = 240.0

CONFIGURATION = """\
[DEFAULT]
enabled_backends = {backends}
periodic_fuzzy_delay = 0
[operations]
sweep_interval = 1
[quota]
volumes = -1
snapshots = -1
"""

OF_LVM = """\
[{0}]
volume_driver = lvm
volume_backend_name = {0}
volume_group = vg-{0}
lvm_type = {0}
volume_clear_size = 64
target_helper = lio
target_port = 3260
lvm_helper_socket = /run/lvm.sock
lio_helper_socket = /run/lio.sock
"""

OF_FILES = """\
[{0}]
volume_driver = file
volume_backend_name = {0}
target_port = 3261
"""

#: The user that the service is: what needs rights it asks of the helpers.
NOBODY = "65534"

#: What the units start, and their sockets let the service's user in.
HELPERS = {
    "lvm": ["volumed_drivers.lvm.helper", "--group", "vg-thin", "--group", "vg-thick"],
    "lio": [
        *("volumed_drivers.targets.lio.helper", "--load-modules"),
        *("--path", "/dev/vg-thin/", "--path", "/dev/vg-thick/"),
    ],
}

URL = "http://127.0.0.1:8776"

ROOT = Path(__file__).parents[3]

#: The state is on a disk of the guest's own, as on a real node.
STATE = "/mnt/state"


class Node:
    """The machine with its service, and a watch for its secrets; ``folder`` is shared with the machine."""

    def __init__(self, machine: Machine, backends: Sequence[str], folder: Path) -> None:
        self.machine = machine
        self._backends = backends
        self._folder = folder
        self._notes = folder / node_watch.NOTES
        self.answers = folder / node_watch.ANSWERS
        self._notes.touch()
        self._notes.chmod(0o666)  # for whoever the service is
        self._said: list[bytes] = []
        self.machine.check(["mkfs.ext4", "-q", "/dev/ubda"])
        for kind, disk in (("thin", "/dev/ubdb"), ("thick", "/dev/ubdc")):
            self.machine.check(["vgcreate", "-q", f"vg-{kind}", disk])
        self._mount()
        enabled = CONFIGURATION.format(backends=",".join(backends))
        parts = [enabled, OF_LVM.format("thin"), OF_LVM.format("thick"), OF_FILES.format(node_client.FILES)]
        self._write(f"{STATE}/volumed.conf", "".join(parts))
        self.machine.check(["chown", "-R", NOBODY, STATE])
        self._watch = node_watch.Watching(machine, folder, STATE)
        self._help()

    def start(self) -> Job:
        """``volumed up``, until it serves."""
        said = self._said = []
        serves = threading.Event()

        def hear(stream: int, data: bytes) -> None:
            said.append(data)
            self._log(stream, data)
            if b"volumed serves" in b"".join(said):
                serves.set()

        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable]
        command += ["-P", watched.__file__, "up", "--state", STATE, "--listen", "127.0.0.1:8776"]
        environment = {"PYTHONUNBUFFERED": "1", watched.NOTES: str(self._notes)}
        job = self.machine.start(command, listener=hear, environment=environment)
        deadline = time.monotonic() + PATIENCE
        while not serves.wait(0.5):
            assert job.running, b"".join(said).decode()
            assert time.monotonic() < deadline, b"".join(said).decode()
        return job

    def client(self, step: str) -> None:
        command = [sys.executable, "-I", node_client.__file__, URL, step, *self._backends]
        environment = {node_client.ANSWERS: str(self.answers)}
        done = self.machine.run(command, timeout=PATIENCE * 2, environment=environment)
        assert done.status == 0, f"{done.complaint}\n{b''.join(self._said).decode()}"

    def volumes(self) -> set[str]:
        return set(self.machine.check(["lvs", "--noheadings", "-o", "lv_name"]).split())

    def crash(self) -> None:
        self.has_told_no_secrets(node_watch.PROCESSES)
        self.machine.crash()
        self.machine.boot()
        self._mount()
        self._watch = node_watch.Watching(self.machine, self._folder, STATE)
        self.has_told_no_secrets(node_watch.FILES)
        self._help()

    def has_told_no_secrets(self, question: str) -> None:
        assert not (found := self._watch.ask(question)), found

    def end(self, service: Job) -> None:
        """Stop the service, and look through all that is left of it."""
        service.signal(signal.SIGTERM)
        assert service.wait(PATIENCE).status == 0
        assert self._notes.read_text().split(), "it had no secrets"
        self.has_told_no_secrets(node_watch.EVERYTHING)

    def _help(self) -> None:
        """As the units do; and whoever is nobody may see the checkout and its interpreter."""
        seen = {
            folder
            for path in (Path(sys.executable), Path(sys.executable).resolve(), ROOT, self._notes.parent)
            for folder in path.parents
        }
        self.machine.check(["chmod", "o+rx", str(ROOT), *sorted(map(str, seen))])
        for name, words in HELPERS.items():
            command = [sys.executable, "-m", *words, "--socket", f"/run/{name}.sock", "--user", "nobody"]
            self.machine.start(command, listener=self._log)
            self.machine.check(["sh", "-c", f"until chmod 666 /run/{name}.sock; do sleep 0.1; done 2>/dev/null"])

    def _log(self, stream: int, data: bytes) -> None:
        """Called with what the service and the helpers say."""
        with (self._folder / node_watch.LOG).open("ab") as log:
            log.write(data)

    def _mount(self) -> None:
        self.machine.check(["mkdir", "-p", STATE])
        self.machine.check(["mount", "/dev/ubda", STATE])

    def targets(self) -> set[str]:
        found = self.machine.run(["sh", "-c", "ls -d /sys/kernel/config/target/iscsi/iqn.*"])
        return set(found.output.split())

    def _write(self, path: str, text: str) -> None:
        self.machine.check([sys.executable, "-I", "-c", f"open({path!r}, 'w').write({text!r})"])
        self.machine.check(["sync"])  # as a configuration is on the disk long before a machine dies
