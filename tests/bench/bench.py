"""What the benches share: the release build, CPU time by program, wrk, nginx with a static answer, tables."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("PIXBUS_BUILD", "build/release")
sys.path.insert(0, str(ROOT / "tests/system"))

import system  # noqa: E402  (it reads PIXBUS_BUILD)
from system import BUILD, System, wait_until  # noqa: E402, F401

HERE = Path(__file__).resolve().parent


PROGRAMS = ("pixbus", *(f"pixbus-{name}" for name in ("broker", "feed", "users", "imgproc", "store", "gateway")))


def build(*targets):
    """The programs, and `targets`, in the release build, or in the one that PIXBUS_BUILD names."""
    if BUILD == ROOT / "build/release":
        run(["cmake", "--preset", "release"], cwd=ROOT)
    run(["cmake", "--build", BUILD, "--target", *PROGRAMS, *targets], cwd=ROOT)


def run(command, **options):
    """Its output; an error with what it said if it fails."""
    result = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False, **options)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def program(name):
    """A program that may stand in sbin, or belong to the newest Postgres."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    servers = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    if found is None and not servers:
        raise SystemExit(f"the bench needs {name}")
    return str(servers[-1]) if servers else found


# ---- CPU time ----


def cpu_us(pid):
    """What all threads of a process have run so far. Counted in nanoseconds by the scheduler, not sampled."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total / 1000


def ended_children_us(pid):
    """CPU time of the children that a process has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[13]) + int(fields[14])) * 1e6 / os.sysconf("SC_CLK_TCK")


class CpuMeter:
    """CPU time by program since the last lap."""

    def __init__(self, one):
        self.system = one
        self.before = {}
        self.lap()

    def lap(self):
        """{program: µs}, with processes that ended meanwhile if their parent is one of the program's."""
        now = {}
        for name, group in self.system.processes().items():
            for process in group:
                now[name, process.pid] = cpu_us(process.pid)
                now[name, -process.pid] = ended_children_us(process.pid)
        spent = {}
        for key, value in now.items():
            spent[key[0]] = spent.get(key[0], 0) + value - self.before.get(key, 0)
        for name, pid in self.before.keys() - now.keys():
            if pid > 0 and name in spent: # its parent counts all of it now
                spent[name] -= self.before[name, pid]
        self.before = now
        return spent


def busy_elsewhere(meter_us, before, after):
    """Share of the machine that something else than we used between two readings of machine_times()."""
    busy, total = after[0] - before[0], after[1] - before[1]
    return max(0.0, (busy - meter_us / 1e6) / total) if total > 0 else 0.0


def machine_times():
    """Busy and all seconds of all processors."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    return (sum(fields) - fields[3] - fields[4]) / tick, sum(fields) / tick


# ---- wrk ----


class Load:
    """What one run of wrk saw."""

    def __init__(self, line):
        names = ("requests", "duration_us", "p50_us", "p99_us", "status_errors", "socket_errors")
        for name, value in zip(names, map(float, line.split()[1:]), strict=True):
            setattr(self, name, value)
        self.rate = self.requests / (self.duration_us / 1e6)
        self.errors = self.status_errors + self.socket_errors


def wrk(url, connections, seconds, headers=None, job=None):
    """`job`: arguments of requests.lua that make each request another one."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", HERE / "requests.lua"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    output = run([*command, url, "--", *(job or [])])
    line = next((line for line in output.splitlines() if line.startswith("bench ")), None)
    if line is None:
        raise SystemExit(f"wrk did not report:\n{output}")
    return Load(line)


# ---- nginx with an answer from memory ----

STATIC = """\
daemon off;
worker_processes 1;
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 100000;
    default_type application/json;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
{locations}
    }}
}}
"""
PIECE_BYTES = 4000  # nginx takes no longer word


class StaticServer:
    """The gateway's nginx without our module: for each name an answer of so many bytes, from memory, after a header of the
    same size as the gateway's. It is the least that an answer over HTTP costs here."""

    def __init__(self, directory, bodies, header_bytes=120):
        self.directory = Path(directory)
        self.directory.mkdir()
        port = system.free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        locations = []
        for name, size in bodies.items():
            pieces = [min(PIECE_BYTES, size - at) for at in range(0, size, PIECE_BYTES)]
            sets = "".join(f'set $piece{i} "{"x" * piece}"; ' for i, piece in enumerate(pieces))
            whole = "".join(f"${{piece{i}}}" for i in range(len(pieces)))
            locations.append(f'location = /{name} {{ add_header X-Padding "{"p" * header_bytes}"; {sets}return 200 "{whole}"; }}')
        (self.directory / "nginx.conf").write_text(
            STATIC.format(directory=self.directory, port=port, locations="\n".join(locations)))
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen([program("nginx"), "-p", self.directory, "-c", self.directory / "nginx.conf"],
                                        stdout=self.log, stderr=self.log)
        try:
            wait_until(lambda: self.workers(), 10, "the worker of the static nginx")
        except AssertionError:
            self.close()
            raise SystemExit((self.directory / "log").read_text()) from None
        self.pid = self.workers()[0]

    def workers(self):
        if self.process.poll() is not None:
            raise SystemExit((self.directory / "log").read_text())
        return [process.pid for process in system.all_processes()
                if process.parent == self.process.pid and "worker process" in process.command]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


# ---- numbers ----


def median(values):
    return statistics.median(values) if values else float("nan")


def table(header, rows):
    """Columns as wide as they have to be, the first one to the left."""
    rows = [header, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in
                               enumerate(zip(row, widths, strict=True))).rstrip() for row in rows)


def verdict(what, value, limit, form="{:.1f}", at_least=False):
    """One line about an aim; how far it was missed, if it was."""
    met = value >= limit if at_least else value <= limit
    bound = "at least" if at_least else "at most"
    return f"{'met   ' if met else 'MISSED'}  {what}: {form.format(value)}, aim {bound} {form.format(limit)}"


def say(text=""):
    print(text, flush=True)


def clock():
    return time.monotonic()
