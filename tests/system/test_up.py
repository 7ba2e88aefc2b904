"""What `pixbus up` and `pixbus config` promise whoever runs them."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

import images
from api import Api, assert_error
from system import BUILD, SANITIZED, SLOWER, System, free_ports, wait_until


def pixbus(*arguments, **environment):
    return subprocess.run([BUILD / "bin/pixbus", *arguments], env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=60, check=False,
                          cwd="/")


def owner_of(process):
    return Path(f"/proc/{process.pid}").stat().st_uid


def pss_kib(pid):
    return int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))


def test_nothing_runs_as_root(shared):
    assert owner_of(shared.up) != 0
    for name, group in shared.processes().items():
        assert all(owner_of(process) != 0 for process in group), name


def test_secrets_are_for_their_owner_only(shared):
    path = shared.var / "secrets.env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert shared.var.stat().st_mode & 0o077 == 0
    secrets = shared.secrets()
    assert all(len(secrets[name]) >= 16 for name in ("JWT_SECRET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    log = shared.log()
    for secret in (*secrets.values(), shared.environment["JWT_SECRET"]):
        assert secret not in log or secret == secrets["AWS_ACCESS_KEY_ID"]


def test_passwords_and_tokens_are_in_no_log(make_system):
    """Not even in the most talkative one, and not when things go wrong."""
    system = make_system(settings={"PIXBUS_LOG_LEVEL": "debug"})
    password = "this-must-not-be-logged-anywhere"
    with Api(system) as api:
        token = api.post("/users/auth", json={"email": "log@example.org", "password": password}).json()["token"]
        api.post("/users/auth/login", json={"email": "log@example.org", "password": password})
        api.post("/users/auth/login", json={"email": "log@example.org", "password": password + "!"})
        with api.as_user(token) as user:
            item = user.post_image(images.jpeg(40, 30))
            users = system.process("users")
            users.kill(signal.SIGSTOP)
            try:
                assert api.post("/users/auth/login", json={"email": "log@example.org", "password": password}).status_code in (503, 504)
            finally:
                users.kill(signal.SIGCONT)
    system.drain()
    log = system.log()
    assert "event=" in log and password not in log and token not in log
    assert re.search(r"X-Amz-Signature=([0-9a-f]{64})", item["url"]).group(1) not in log


def test_config_masks_secrets():
    result = pixbus("config", JWT_SECRET="s" * 40, AWS_SECRET_ACCESS_KEY="hidden-key", DATABASE_URL="postgresql://u:hidden-password@h/d", POSTGRESS_PASSWORD="hidden-too",
                    PIXBUS_LISTEN="127.0.0.1:1234")
    assert result.returncode == 0
    lines = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line and not line.startswith("#"))
    assert lines["PIXBUS_LISTEN"] == "127.0.0.1:1234"
    for name in ("JWT_SECRET", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "POSTGRESS_PASSWORD"):
        assert lines[name] == "***"
    assert "hidden" not in result.stdout and "ssss" not in result.stdout


@pytest.mark.parametrize("name, value", [("PIXBUS_GATEWAY_WORKERS", "many"), ("PIXBUS_GATEWAY_WORKERS", "0"), ("JWT_SECRET", "short"), ("PIXBUS_IMAGE_BYTES_MAX", "1X"),
                                         ("PIXBUS_LISTEN", "x" * 300)])
@pytest.mark.parametrize("command", ["config", "up", "migrate"])
def test_malformed_settings_are_named(command, name, value, tmp_path):
    result = pixbus(command, **{"PIXBUS_VAR": str(tmp_path / "var"), name: value})
    assert result.returncode == 2 and name in result.stderr
    assert not (tmp_path / "var").exists()


def test_a_second_one_on_the_same_directory_is_refused(shared):
    ports = free_ports(2)
    result = pixbus("up", **{**shared.environment, "PIXBUS_LISTEN": f"127.0.0.1:{ports[0]}", "PIXBUS_STORE_LISTEN": f"127.0.0.1:{ports[1]}"})
    assert result.returncode == 1 and str(shared.up.pid) in result.stderr


def test_a_port_that_is_taken_is_named(shared):
    system = System(settings={"PIXBUS_LISTEN": shared.environment["PIXBUS_LISTEN"]})
    try:
        result = pixbus("up", **system.environment)
        assert result.returncode == 1 and "PIXBUS_LISTEN" in result.stderr
    finally:
        system.destroy()


def test_several_of_each_and_settings_that_narrow(make_system):
    system = make_system(replicas="feed=2,users=2,imgproc=2", settings={"PIXBUS_GATEWAY_WORKERS": "2", "PIXBUS_CORS_ORIGINS": "https://a.example.org https://b.example.org",
                                                                        "PIXBUS_PASSWORD_MIN": "12", "PIXBUS_IMAGE_BYTES_MAX": "20K", "PIXBUS_IMAGE_PIXELS_MAX": "1000000"})
    assert len([process for process in system.processes()["gateway"] if "worker process" in process.command]) == 2
    with Api(system) as api, api.new_user() as user:
        # Whoever of the two is asked, both know the same.
        for n in range(20):
            item = user.new_item(f"both {n}")
            assert api.get("/feed?limit=1").json()[0]["id"] == item["id"]
        assert user.post_image(images.save(images.quarters(400, 300), "PNG"))["state"] == "ready"
        rejected = user.post_image(images.save(images.quarters(1001, 1000), "PNG"))
        assert rejected["reject_reason"] == "The image has 1001 x 1000 pixels; at most 1 million are accepted."
        refused = httpx.put(user.new_item()["url"], content=b"x" * 20481, trust_env=False)
        assert refused.status_code in (400, 413) and "EntityTooLarge" in refused.text
        for origin, allowed in (("https://a.example.org", True), ("https://b.example.org", True), ("https://c.example.org", False), ("https://a.example.org.evil.org", False),
                                ("http://a.example.org", False), ("null", False)):
            response = api.get("/feed?limit=1", headers={"Origin": origin})
            assert (response.headers.get("access-control-allow-origin") == origin) is allowed, origin
            preflight = api.options("/feed", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert ("access-control-allow-methods" in preflight.headers) is allowed, origin
        assert_error(api.post("/users/auth", json={"email": "short@example.org", "password": "eleven char"}), 400, "Password is too short: it must have at least 12 bytes")
        # One of two away: nobody notices.
        feeds = [process for process in system.processes()["feed"]]
        feeds[0].kill(signal.SIGKILL)
        wait_until(feeds[0].gone, 10)
        for _ in range(20):
            assert api.get("/feed").status_code in (200, 503)
        wait_until(lambda: len(system.processes().get("feed", [])) == 2, 10 * SLOWER, "the second feed")
    system.drain()
    system.check_log(deaths=True)


def test_memory_of_an_idle_installation(make_system):
    """60 MB over all processes of ours, without Postgres."""
    if SANITIZED:
        pytest.skip("a sanitizer's own memory is many times that")
    system = make_system()
    ours = [process for name, group in system.processes().items() if name != "postgres" for process in group]
    total = sum(pss_kib(process.pid) for process in ours) + pss_kib(system.up.pid)
    assert total < 60 * 1024, total


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root runs everything as an ordinary user")
def test_an_ordinary_user_needs_nothing_of_root():
    """The same, started by somebody who may nothing: here it is nobody."""
    system = System()
    try:
        # Where the programs are, they may not be reachable for others.
        build = system.directory / "build"
        for part in ("bin", "modules"):
            shutil.copytree(BUILD / part, build / part)
        for path in [system.directory, *system.directory.rglob("*")]:
            shutil.chown(path, "nobody", "nogroup")
            path.chmod(0o755)
        system.start(program=build / "bin/pixbus", user="nobody", group="nogroup", extra_groups=[])
        uids = {owner_of(process) for group in system.processes().values() for process in group} | {owner_of(system.up)}
        assert len(uids) == 1 and 0 not in uids
        with Api(system) as api, api.new_user() as user:
            assert user.post_image(images.jpeg(400, 300))["state"] == "ready"
        system.drain()
        system.check_log()
        # And its database is there at the next start.
        system.start(program=build / "bin/pixbus", user="nobody", group="nogroup", extra_groups=[])
        with Api(system) as api:
            assert len(api.get("/feed").json()) == 1
        system.drain()
        system.check_log()
    except BaseException:
        system.keep = True
        raise
    finally:
        system.destroy()
