"""The main job of volumed, told step by step: a volume is created, used over real iSCSI, copied, grown and deleted.

In the middle the daemon is killed with -9, and nothing is lost. At the end everything is counted from outside; the
exit status is not 0 unless nothing is left.
"""

import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from demo import outside
from demo.blockstorage import BlockStorage, RequestFailed
from demo.initiator import IQN, InitiatorError, Login
from demo.narration import Narrator, duration
from demo.server import Server, ServerError

PATTERN = 0xA5
WRITTEN = "16M"
GIB = 1024**3

#: Creates that are under way when the daemon is killed: raw ones, clones, and volumes from the snapshot.
RAW, CLONES, FROM_SNAPSHOT = 6, 3, 3

#: How often the kill is tried again when everything had ended before it.
KILLS = 3


class Story:
    """What the steps have in common."""

    def __init__(self, narrator: Narrator, server: Server) -> None:
        self.tell = narrator
        self.server = server
        self.volume = ""
        self.snapshot = ""
        self.created_at_the_kill: list[str] = []

    @property
    def api(self) -> BlockStorage:
        """A connection of its own for each use: several threads send requests."""
        return BlockStorage(self.server.url)

    @contextmanager
    def login(self, volume_id: str) -> Iterator[Login]:
        """An attachment, for as long as the block lasts."""
        attachment = self.api.attach(volume_id, str(uuid.uuid4()), IQN)
        try:
            yield Login.of(attachment["connection_info"])
        finally:
            self.api.detach(attachment["id"])

    def run(self) -> None:
        self.start()
        self.create()
        self.use()
        self.copy()
        self.extend()
        self.crash()
        self.print_timeline()
        self.delete()
        self.stop()

    def start(self) -> None:
        with self.tell.step("volumed up, in an empty state folder"):
            self.server.start()
            self.tell.fact(f"process {self.server.pid} serves {self.server.url}, state in {self.server.state}")
            self.api.set_quota(volumes=100, snapshots=100)
            self.tell.fact("quota of the project raised to 100 volumes by REST")

    def create(self) -> None:
        with self.tell.step("create a volume of 1 GiB by REST"):
            began = monotonic()
            self.volume = self.api.create_volume(name="main")
            self.tell.fact(f"accepted after {duration(monotonic() - began)}: {self.volume}")
            self.api.wait_for(f"/volumes/{self.volume}")
            self.tell.fact(f"available after {duration(monotonic() - began)}")

    def use(self) -> None:
        with self.tell.step("attach it with CHAP, write over iSCSI, read back, detach"):
            with self.login(self.volume) as login:
                self.tell.fact(f"target {login.target} on {login.portal}, LUN {login.lun}, user {login.username}")
                login.write(PATTERN, WRITTEN)
                self.tell.fact(f"qemu-io logged in and wrote {WRITTEN}iB of {PATTERN:#x}")
                login.check(PATTERN, WRITTEN)
                self.tell.fact("a second login read the pattern back")
                self._expect_refusal(login.with_password("not-the-secret"))
            self.api.wait_for(f"/volumes/{self.volume}")
            self.tell.fact("detached, and available again")

    def _expect_refusal(self, login: Login) -> None:
        try:
            login.size()
        except InitiatorError:
            self.tell.fact("a login with a wrong secret was refused")
        else:
            raise InitiatorError("a login with a wrong secret was let in")

    def copy(self) -> None:
        with self.tell.step("snapshot; a volume from the snapshot, and a clone of the volume"):
            self.snapshot = self.api.create_snapshot(self.volume, "main-snapshot")
            self.api.wait_for(f"/snapshots/{self.snapshot}")
            self.tell.fact(f"snapshot {self.snapshot}")
            copies = {
                "volume from the snapshot": self.api.create_volume(name="restored", snapshot_id=self.snapshot),
                "clone of the volume": self.api.create_volume(name="cloned", source_volid=self.volume),
            }
            for kind, volume_id in copies.items():
                self.api.wait_for(f"/volumes/{volume_id}")
                with self.login(volume_id) as login:
                    login.check(PATTERN, WRITTEN)
                self.tell.fact(f"{kind} {volume_id}: the pattern is there")

    def extend(self) -> None:
        with self.tell.step("extend the volume to 2 GiB"):
            self.api.extend(self.volume, 2)
            self.api.wait_for(f"/volumes/{self.volume}")
            with self.login(self.volume) as login:
                if (size := login.size()) != 2 * GIB:
                    raise InitiatorError(f"the next login sees {size} bytes and not 2 GiB")
                login.check(PATTERN, WRITTEN)
            self.tell.fact("the next login sees 2 GiB, with the pattern in place")

    def crash(self) -> None:
        for _ in range(KILLS):
            if self._crash_once():
                return
        raise RequestFailed(f"everything had ended before each of {KILLS} kills; none was in the middle")

    def _crash_once(self) -> int:
        """How many operations were in the middle when the daemon was killed."""
        number = RAW + CLONES + FROM_SNAPSHOT
        with self.tell.step(f"kill -9 in the middle of {number} creates and a delete, then start again"):
            victim = self.api.create_volume(name="victim")
            self.api.wait_for(f"/volumes/{victim}")
            created = self._send_creates_and_a_delete(victim)
            self.server.kill()
            unfinished = outside.unfinished_operations(self.server.state)
            self.tell.fact(f"killed; {unfinished} of {number + 1} accepted requests had not ended (by SQL)")
            began = monotonic()
            self.server.start()
            self.tell.fact(f"serves again after {duration(monotonic() - began)}")
            for volume_id in created:
                self.api.wait_for(f"/volumes/{volume_id}")
            self.api.wait_until_gone(f"/volumes/{victim}")
            self.tell.fact(f"{number} volumes available, 1 deleted, {duration(monotonic() - began)} after the start")
            self.created_at_the_kill = created
        return unfinished

    def _send_creates_and_a_delete(self, victim: str) -> list[str]:
        wishes: Sequence[dict[str, str]] = (
            *({"source_volid": self.volume} for _ in range(CLONES)),
            *({"snapshot_id": self.snapshot} for _ in range(FROM_SNAPSHOT)),
            *({} for _ in range(RAW)),
        )
        with ThreadPoolExecutor(len(wishes) + 1) as senders:
            deleted = senders.submit(lambda: self.api.delete(f"/volumes/{victim}"))
            created = [
                senders.submit(lambda wish=wish, number=number: self._create_one(wish, number))  # type: ignore[misc]
                for number, wish in enumerate(wishes)
            ]
            deleted.result()
            return [each.result() for each in created]

    def _create_one(self, wish: dict[str, str], number: int) -> str:
        size = 2 if "source_volid" in wish else 1
        return self.api.create_volume(name=f"at-the-kill-{number}", size=size, **wish)

    def print_timeline(self) -> None:
        with self.tell.step("the timeline of a request that the kill interrupted: volumed timeline"):
            said = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "volumed.cmd.volumed",
                    "timeline",
                    "--url",
                    self.server.url,
                    self._interrupted(),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode != 0:
                raise RequestFailed(said.stderr)
            self.tell.quote(said.stdout)

    def _interrupted(self) -> str:
        return outside.most_claimed(self.server.state, self.created_at_the_kill)

    def delete(self) -> None:
        with self.tell.step("delete everything, and count from outside what is left"):
            for collection in ("snapshots", "volumes"):
                paths = [f"/{collection}/{each}" for each in self.api.list_ids(collection)]
                for path in paths:
                    self.api.delete(path)
                for path in paths:
                    self.api.wait_until_gone(path)
                self.tell.fact(f"deleted {len(paths)} {collection}")
            self._expect_none(outside.leftovers(self.server.state))

    def stop(self) -> None:
        with self.tell.step("stop, as Ctrl-C does it"):
            self.server.stop()
            self._expect_none({"processes, tgtd among them": len(outside.processes(self.server.state))})

    def _expect_none(self, counts: dict[str, int]) -> None:
        for name, count in counts.items():
            self.tell.fact(f"{count:4}  {name}")
        left = {name: count for name, count in counts.items() if count}
        if left:
            raise RequestFailed(f"something is left behind: {left}")


def main() -> int:
    """Tell the story; 0 only when all of it came true."""
    narrator = Narrator()
    # Whoever ends us by SIGTERM finds nothing left behind either.
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored where a shell started us in the background
        signal.signal(number, signal.default_int_handler)
    # Short, because a socket's path has at most 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="volumed-demo-") as folder:
        server = Server(Path(folder) / "state", Path(folder) / "log")
        try:
            Story(narrator, server).run()
        except KeyboardInterrupt:
            narrator.bad("interrupted")
            return 130
        except (RequestFailed, InitiatorError, ServerError, OSError, subprocess.SubprocessError) as error:
            narrator.bad(f"THE DEMO FAILED: {error}")
            return 1
        finally:
            _clean_up(server)
    narrator.good("NOTHING IS LEFT: no row, no file, no target, no process.")
    return 0


def _clean_up(server: Server) -> None:
    try:
        server.stop()
    finally:
        outside.end_processes(server.state)


if __name__ == "__main__":
    sys.exit(main())
