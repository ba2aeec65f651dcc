"""The API inside another's WSGI server, before it has a database."""

import subprocess
import sys
from pathlib import Path

MAKE = "import sys, pathlib; from volumed.launch import hosted; print(hosted.make([pathlib.Path(sys.argv[1])]))"


def test_while_its_database_is_away_it_is_not_made_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "volumed.conf"
    path.touch(mode=0o600)
    path.write_text(
        "[DEFAULT]\ntransport_url = rabbit://guest:guest@127.0.0.1:9/\n"
        f"state_path = {tmp_path}\n[api]\nallow_remote_noauth = true\n[database]\n"
        f"connection = postgresql+psycopg://volumed@127.0.0.1:9/volumed\nsecrets_key_file = {tmp_path}/secrets.key\n"
    )
    done = subprocess.run([sys.executable, "-c", MAKE, str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert "the database is away" in done.stderr
