"""Every process is killed and stopped in turn while clients work. What was acknowledged is there afterwards, every upload
that was taken ends ready, nobody waits longer than they were promised, and the whole heals by itself."""

import signal
import time

import pytest

from api import Api
from load import DEADLINES_S, SLACK_S, Load
from system import SLOWER, System, wait_until

CONNECTION = {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}
REFUSED = {503, 504}


@pytest.fixture(scope="module")
def system():
    """One for all of these: a fault that the one before has left behind is found too."""
    system = System()
    system.start()
    try:
        yield system
        system.drain()
        system.check_log(deaths=True)
    except BaseException:
        system.keep = True
        raise
    finally:
        system.destroy()


def check_book(system, load, allowed):
    """`allowed`: beside success, what requests of a kind may have ended with."""
    for kind in DEADLINES_S:
        wrong = [one for one in load.ended if one.kind == kind and one.status not in (200, 201) and one.status not in allowed.get(kind, ())]
        assert not wrong, (len(wrong), wrong[:5])
    with Api(system) as api, api.as_user(load.token) as user:
        kept = [number for number in load.captions if number not in load.perhaps_deleted]
        assert len(kept) > 5, "too little was done to tell"
        for number, captions in load.captions.items():
            response = user.get(f"/feed/{number}")
            if number in load.deleted:
                assert response.status_code == 404, number
            elif number not in load.perhaps_deleted or response.status_code != 404:
                assert response.status_code == 200 and response.json()["caption"] in captions, (number, response.text, captions)
        for number in load.uploaded - load.perhaps_deleted:
            assert user.settled(number, 40 * SLOWER)["state"] == "ready", number


def check_healed(load, since):
    """Everything works again, for everybody."""
    wait_until(lambda: load.succeeded_since(since) == set(DEADLINES_S), 20 * SLOWER, "the service after the fault")


def victims(system, name):
    program, _, part = name.partition(" ")
    group = system.processes()[program]
    if part == "worker":
        return [system.worker(program)]
    if part == "session":
        return [next(process for process in group if process.command.startswith("postgres: pixbus"))]
    return group if part == "whole" else [group[0]]


HTTP = {"read": REFUSED, "write": REFUSED, "login": REFUSED}
UPLOADS = {"upload": {*CONNECTION, 500, 503}}
UNREACHABLE = {kind: {*REFUSED, *CONNECTION} for kind in ("read", "write", "login")}

KILLED = {
    "broker": HTTP, "feed": HTTP, "users": HTTP, "imgproc": {}, "store": UPLOADS, "store worker": UPLOADS, "gateway": UNREACHABLE, "gateway worker": UNREACHABLE,
    "postgres": HTTP, "postgres session": HTTP,
}


@pytest.mark.parametrize("name", KILLED)
def test_kill_9(system, name):
    with Load(system) as load:
        load.warm_up()
        (victim,) = victims(system, name)
        victim.kill(signal.SIGKILL)
        since = time.monotonic()
        wait_until(victim.gone, 10, "its end")
        check_healed(load, since)
    assert not load.slow(), load.slow()
    check_book(system, load, KILLED[name])


STOPPED = {
    "broker": (4.5, HTTP), "feed": (4.5, HTTP), "users": (4.5, HTTP), "imgproc": (2, {}), "store whole": (2, {}), "gateway whole": (1, {}), "postgres whole": (4.5, HTTP),
}


@pytest.mark.parametrize("name", STOPPED)
def test_sigstop(system, name):
    """Longer than a read's deadline, where somebody can answer: they do, in time. Who can only wait gets it afterwards."""
    seconds, allowed = STOPPED[name]
    with Load(system) as load:
        load.warm_up()
        group = victims(system, name)
        before = load.count()
        for process in group:
            process.kill(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            wait_until(lambda: time.monotonic() - stopped > seconds, seconds + 5)
        finally:
            for process in group:
                try:
                    process.kill(signal.SIGCONT)
                except ProcessLookupError:
                    pass  # it was taken for dead
        check_healed(load, time.monotonic())
    assert not load.slow(), load.slow()
    if seconds > DEADLINES_S["read"]:
        refusals = load.statuses(before)
        assert refusals[503] + refusals[504] > 0, "nobody noticed"
    check_book(system, load, allowed)


def test_reads_are_refused_at_once_while_nobody_serves(system):
    """After the first deadline nobody has to wait for another one: the bus knows."""
    (feed,) = victims(system, "feed")
    with Api(system) as api:
        feed.kill(signal.SIGSTOP)
        try:
            wait_until(lambda: api.get("/feed").status_code == 503, 10 * SLOWER, "the refusal")
            for _ in range(5):
                started = time.monotonic()
                response = api.get("/feed")
                assert response.status_code == 503 and time.monotonic() - started < 0.5 * SLOWER
                assert api.get(f"/users/nobody@example.org").status_code == 404
            ready = api.get("//readyz")
            assert ready.status_code == 503 and "feed" in ready.json()["message"]
            assert api.get("//healthz").status_code == 200
        finally:
            feed.kill(signal.SIGCONT)
        wait_until(lambda: api.get("/feed").status_code == 200, 10 * SLOWER, "the service")
        wait_until(lambda: api.get("//readyz").status_code == 200, 10 * SLOWER, "readiness")


def test_a_failure_is_in_the_log_by_its_request_id(system):
    (feed,) = victims(system, "feed")
    with Api(system) as api:
        feed.kill(signal.SIGSTOP)
        try:
            response = api.get("/feed", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
        finally:
            feed.kill(signal.SIGCONT)
        assert response.status_code in REFUSED
        wait_until(lambda: f"request_id={response.headers['x-request-id']}" in system.log(), 5, "a line in the log")
        wait_until(lambda: api.get("/feed").status_code == 200, 10 * SLOWER, "the service")


def test_everything_killed_at_once(system):
    with Load(system) as load:
        load.warm_up()
        for group in system.processes().values():
            group[0].kill(signal.SIGKILL)
        check_healed(load, time.monotonic())
    check_book(system, load, {**UNREACHABLE, **UPLOADS})


def test_sigterm_drains_without_a_failed_request():
    system = System()
    system.start()
    try:
        load = Load(system, close=True)
        load.start()
        load.warm_up()
        system.up.send_signal(signal.SIGTERM)
        status = system.up.wait(45)
        load.stop()
        assert status == 0, system.log_tail()
        system.check_log()
        # Whoever came too late found the door shut; nobody was let in and then sent away.
        assert set(load.statuses()) <= {200, 201, "ConnectError"}, [one for one in load.ended if one.status not in (200, 201, "ConnectError")][:5]
        assert not load.slow()
        system.up = None
        seconds = system.start()
        assert seconds < 2 * SLOWER, f"a second start took {seconds:.1f} s"
        check_book(system, load, {kind: {"ConnectError"} for kind in DEADLINES_S})
        system.drain()
        system.check_log()
    except BaseException:
        system.keep = True
        raise
    finally:
        system.destroy()


def test_the_supervisor_itself_killed():
    """Nothing is left behind, and a new start finds all that was acknowledged."""
    system = System()
    system.start()
    try:
        load = Load(system)
        load.start()
        load.warm_up()
        children = [process for group in system.processes().values() for process in group]
        system.up.kill()
        system.up.wait()
        wait_until(lambda: all(process.gone() for process in children), 30 * SLOWER, "the end of all it had started")
        load.stop()
        system.up.stdout.close()
        system.start()
        check_book(system, load, {**UNREACHABLE, **UPLOADS})
        system.drain()
        system.check_log()
    except BaseException:
        system.keep = True
        raise
    finally:
        system.destroy()
