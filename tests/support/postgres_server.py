"""Start a PostgreSQL server for tests, where the machine has its binaries."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.ports import free_port

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
USER, SECRET = "grid", "not-for-any-log"


def find_binaries() -> Path | None:
    """Find the folder of initdb and pg_ctl; Debian does not put it on PATH."""
    named = shutil.which("initdb")
    folders = [Path(named).resolve().parent] if named else []
    folders += [path for pattern in FOLDERS for path in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    return next((folder for folder in folders if (folder / "pg_ctl").exists() and (folder / "initdb").exists()), None)


class PostgresServer:
    """A PostgreSQL on loopback that asks for a password."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self.port = binaries, folder, free_port()
        password = folder / "password"
        password.write_text(SECRET)
        if os.geteuid() == 0:  # the server refuses to run as root
            for path in (folder, password):
                shutil.chown(path, "postgres")
        arguments = ("--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        self._run("initdb", ["-D", str(self.data), "-U", USER, f"--pwfile={password}", *arguments])
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def address(self) -> str:
        """The database's address without a password, as a grid file has it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        log = ["-l", str(self.folder / "log"), "-w"]
        self._run("pg_ctl", ["-D", str(self.data), *log, "-o", options, "start"])

    def stop(self) -> None:
        self._run("pg_ctl", ["-D", str(self.data), "-m", "immediate", "-w", "stop"])

    def _run(self, name: str, arguments: Sequence[str]) -> None:
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*prefix, str(self.binaries / name), *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", check=False
        )
        assert done.returncode == 0, done.stdout.decode()
