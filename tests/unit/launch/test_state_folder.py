"""What ``volumed up`` keeps of its node, also over a crash of the machine."""

import os
import stat
from pathlib import Path

import pytest

from volumed.launch.state_folder import StateFolder


def test_the_node_keeps_the_name_that_it_had_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "first")
    assert StateFolder(tmp_path).host() == "first"
    monkeypatch.setattr("socket.gethostname", lambda: "second")
    assert StateFolder(tmp_path).host() == "first"


def test_a_name_that_a_crash_of_the_machine_left_empty_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("")
    name = StateFolder(tmp_path).host()
    assert name
    assert (tmp_path / "host").read_text() == f"{name}\n"


def test_the_name_is_on_the_disk_before_it_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    def note(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", note)
    StateFolder(tmp_path).host()
    assert steps == ["file", "rename", "folder"]
