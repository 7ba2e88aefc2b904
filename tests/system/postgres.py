"""A Postgres of the tests' own, for systems that bring none."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from system import run_sql, wait_until


class Postgres:
    def __init__(self):
        self.binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.directory = Path(tempfile.mkdtemp(prefix="pixbus-test-postgres-"))
        self.socket = self.directory / "run"
        self.account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = None

    def __enter__(self):
        self.socket.mkdir()
        self.directory.chmod(0o755)
        if self.account:
            for path in (self.directory, self.socket):
                shutil.chown(path, "postgres", "postgres")
        log = open(self.directory / "log", "wb")
        subprocess.run([self.binaries / "initdb", "-D", self.directory / "data", "-U", "pixbus", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"], check=True, stdout=log,
                       stderr=log, cwd=self.directory, **self.account)
        self.process = subprocess.Popen([self.binaries / "postgres", "-D", self.directory / "data", "-k", self.socket, "-c", "listen_addresses=", "-c", "fsync=off"], stdout=log,
                                        stderr=log, cwd=self.directory, **self.account)
        log.close()
        wait_until(lambda: subprocess.run([self.binaries / "pg_isready", "-q", "-h", self.socket], check=False).returncode == 0, 30, "Postgres")
        return self

    def __exit__(self, *_):
        self.process.send_signal(3)  # SIGQUIT: at once, nothing is kept
        self.process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, name):
        return f"postgresql://pixbus@/{name}?host={self.socket}"

    def database(self, name):
        """Make one that is empty."""
        run_sql(self.url("postgres"), f"create database {name}")
        return self.url(name)
