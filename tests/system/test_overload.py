"""More than can be done: memory stays bounded, what cannot be taken is refused at once and says when to come again."""

import threading
import time
from collections import Counter

import pytest

from api import PASSWORD, Api
from system import SANITIZED, SLOWER, System, memory_kib

HASH_KIB = 19456  # of one password
THREADS, QUEUE = 2, 8


@pytest.fixture(scope="module")
def tight():
    """With few places for passwords."""
    with System(settings={"PIXBUS_PASSWORD_THREADS": str(THREADS), "PIXBUS_PASSWORD_QUEUE": str(QUEUE)}) as system:
        yield system


def in_parallel(count, function):
    """All at the same moment. The results with the seconds that each took."""
    barrier, results = threading.Barrier(count), []

    def run(n):
        barrier.wait()
        started = time.monotonic()
        result = function(n)
        results.append((result, time.monotonic() - started))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_parallel_logins_cannot_exhaust_memory(tight):
    with Api(tight) as api, api.new_user() as user:
        email = user.email
        pid = tight.process("users").pid
        idle, _ = memory_kib(pid)

        def login(n):
            with Api(tight) as client:
                # Some are wrong and some are nobody: none of them is cheaper.
                return client.post("/users/auth/login", json={"email": email if n % 3 else "nobody@example.org", "password": PASSWORD if n % 2 else "wrong password"})

        results = in_parallel(100, login)
        statuses = Counter(response.status_code for response, _ in results)
        assert set(statuses) <= {200, 401, 503} and statuses[503] > 0 and statuses[200] + statuses[401] >= THREADS + QUEUE, statuses
        for response, seconds in results:
            if response.status_code == 503:
                assert response.json()["message"] == "The service is busy, try again shortly" and response.headers["retry-after"] == "1"
            assert seconds < 10
        _, highest = memory_kib(pid)
        if not SANITIZED:  # whose own memory would drown it
            assert highest - idle < (THREADS + 1) * HASH_KIB + 8 * 1024, (idle, highest)
        # And it goes on as if nothing had been.
        assert api.post("/users/auth/login", json={"email": email, "password": PASSWORD}).status_code == 200


def test_others_are_served_while_passwords_wait(tight):
    """A look-up does not wait behind a hundred hashes, and a page does not know of them."""
    with Api(tight) as api, api.new_user() as user:
        stop = threading.Event()

        def log_in():
            with Api(tight) as client:
                while not stop.is_set():
                    client.post("/users/auth/login", json={"email": user.email, "password": "wrong password"})

        threads = [threading.Thread(target=log_in) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for path in ("/feed", f"/users/{user.email}") * 20:
                started = time.monotonic()
                assert api.get(path).status_code == 200
                assert time.monotonic() - started < 1 * SLOWER
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_burst_of_reads_ends(shared):
    """Every one of them gets its answer or a refusal in time."""
    def read(_):
        with Api(shared) as client:
            return [client.get("/feed?limit=100").status_code for _ in range(5)]

    statuses = Counter(status for result, _ in in_parallel(64, read) for status in result)
    assert set(statuses) <= {200, 503} and statuses[200] > 0 and sum(statuses.values()) == 320
