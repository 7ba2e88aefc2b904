"""A whole Pixbus, started by `pixbus up` from a build directory: its processes, its log, its database."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PIXBUS_BUILD", ROOT / "build/dev"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD

READY_S = 60  # initdb included, with a sanitizer on a busy machine
DRAIN_S = 45
# A program with a sanitizer is several times slower: limits that are not about correctness are multiplied by this.
SANITIZED = "PIXBUS_SANITIZE:STRING=address" in (BUILD / "CMakeCache.txt").read_text() if (BUILD / "CMakeCache.txt").exists() else False
SLOWER = 5 if SANITIZED else 1

TOKEN_SECRET = "the tests sign tokens with this key of 32 bytes and more"

# What a sanitizer or an assertion of ours says when it has found something.
REPORTS = re.compile(
    r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error: |Assertion .* failed|\*\*\* stack smashing|free\(\): |malloc\(\): ")


def wait_until(condition, timeout_s=10.0, what="the condition"):
    """Poll `condition` until it returns something true, and return that."""
    deadline = time.monotonic() + timeout_s
    pause = 0.002
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def read_env(path):
    lines = (line.strip() for line in Path(path).read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str

    def kill(self, number):
        os.kill(self.pid, number)

    def gone(self):
        return state_of(self.pid) in (None, "Z")


def state_of(pid):
    """R, S, T, Z … as /proc says, or None."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def all_processes():
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        fields = stat.rpartition(")")[2].split()
        if fields[0] != "Z":
            found.append(Process(int(entry.name), int(fields[1]), command))
    return found


def memory_kib(pid):
    """VmRSS and VmHWM, the highest it ever was."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) for name in ("VmRSS", "VmHWM"))


class System:
    """One installation in a temporary directory. `settings` are environment variables."""

    def __init__(self, settings=None, replicas=None, own_database=True):
        # Started by root it runs as an unprivileged account, which has to get at the directory.
        self.directory = Path(tempfile.mkdtemp(prefix="pixbus-test-"))
        self.directory.chmod(0o755)
        self.var = self.directory / "var"
        self.log_path = self.directory / "log"
        self.settings = settings or {}
        self.replicas = replicas
        self.up = None
        self.log_size_checked = 0
        self.keep = False
        port, store_port = free_ports(2)
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self.store_url = f"http://127.0.0.1:{store_port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "PIXBUS_VAR": str(self.var),
            "PIXBUS_LISTEN": f"127.0.0.1:{port}",
            "PIXBUS_STORE_LISTEN": f"127.0.0.1:{store_port}",
            "JWT_SECRET": TOKEN_SECRET,
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "LSAN_OPTIONS": f"suppressions={ROOT / 'tests/lsan.supp'}:print_suppressions=0",
            **{name: os.environ[name] for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS") if name in os.environ},
            **self.settings,
        }

    # ---- life ----

    def start(self, program=BUILD / "bin/pixbus", **account):
        """Returns the seconds until it said that it serves. `account`: user and group of Popen, to start it as."""
        command = [program, "up"] + (["--replicas", self.replicas] if self.replicas else [])
        started = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                                       env=self.environment, start_new_session=True, **account)
        os.set_blocking(self.up.stdout.fileno(), False)
        said = b""

        def ready():
            nonlocal said
            said += self.up.stdout.read() or b""
            if self.up.poll() is not None:
                raise AssertionError(f"pixbus up ended with {self.up.returncode}")
            return b"\n" in said

        try:
            wait_until(ready, READY_S, "the line `ready`")
            assert said.decode() == f"ready {self.url}\n"
        except AssertionError as error:
            self.keep = True
            self.destroy()
            raise AssertionError(f"{error}\n{self.log_tail()}") from None
        return time.monotonic() - started

    def drain(self):
        """SIGTERM, and the exit status that follows."""
        children = [process for process in self.processes().values() for process in process]
        self.up.send_signal(signal.SIGTERM)
        status = self.up.wait(DRAIN_S)
        assert status == 0, f"pixbus up ended with {status}\n{self.log_tail()}"
        left = [process for process in children if not process.gone()]
        assert not left, f"left behind: {left}"
        self.up.stdout.close()
        self.up = None

    def destroy(self):
        """Whatever state it is in: nothing of it is left afterwards."""
        if self.up is not None:
            children = [process for group in self.processes().values() for process in group]
            self.up.kill()
            self.up.wait()
            for process in children:
                try:
                    process.kill(signal.SIGKILL)
                except ProcessLookupError:
                    pass
            wait_until(lambda: all(process.gone() for process in children), 10, "the end of all processes")
            self.up.stdout.close()
            self.up = None
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.drain()
                self.check_log()
        except BaseException:
            self.keep = True
            raise
        finally:
            self.keep = self.keep or kind is not None
            self.destroy()

    # ---- what it says ----

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, since=0, lines=60):
        return "\n".join(self.log()[since:].splitlines()[-lines:]) + f"\n(the whole log: {self.log_path})"

    def check_log(self, deaths=False):
        """No sanitizer has reported anything, and unless `deaths` are expected no program has died by itself."""
        log = self.log()
        report = REPORTS.search(log)
        assert report is None, f"the log holds a report:\n{log[max(0, report.start() - 500):report.start() + 6000]}"
        if not deaths:
            died = [line for line in log.splitlines() if "program_died" in line or "program_killed" in line]
            assert not died, "\n".join(died)

    # ---- processes ----

    def processes(self):
        """The processes of each program by its name: postgres, broker, feed, users, imgproc, store, gateway. Of nginx's
        the master is the first, of Postgres' the postmaster."""
        everything = all_processes()
        children = {}
        for process in everything:
            children.setdefault(process.parent, []).append(process)
        found = {}
        for child in children.get(self.up.pid, []):
            name = re.search(r"/pixbus-(broker|feed|users|imgproc|store|gateway)\b|nginx -p \S*/(\w+)|/(postgres) ", child.command)
            if name is None:
                continue
            name = next(group for group in name.groups() if group)
            group = found.setdefault(name, [])
            group.append(child)
            group.extend(sorted(children.get(child.pid, []), key=lambda process: process.pid))
        return found

    def process(self, name):
        """The program itself: the master of nginx, the postmaster."""
        return self.processes()[name][0]

    def worker(self, name):
        """The one that serves, of nginx's."""
        return next(process for process in self.processes()[name] if "nginx: worker process" in process.command)

    # ---- what it keeps ----

    def secrets(self):
        return read_env(self.var / "secrets.env")

    def sql(self, statements):
        """Run statements on its own Postgres; the rows of the last one as lists of text."""
        url = self.environment.get("DATABASE_URL") or f"postgresql:///pixbus?host={self.var / 'run'}&user=pixbus"
        return run_sql(url, statements)


def run_sql(url, statements):
    result = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"],
                            input=statements, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    return [line.split("\x1f") for line in result.stdout.splitlines()]
