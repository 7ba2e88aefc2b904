"""No read is ever older than its request, however many identical ones share a query."""

import itertools
import threading

import pytest

from api import Api
from system import SLOWER, System

READS = pytest.mark.parametrize("path, find", [
    ("/feed?limit=1", lambda body: body[0]["caption"]),
    ("/feed/thumbnails?limit=1", lambda body: body[0]["caption"]),
    ("/feed/{id}/thumbnail", lambda body: body["caption"]),
    ("/feed/{id}", lambda body: body["caption"]),
], ids=["list", "thumbnails", "thumbnail", "item"])


def check_that_reads_are_fresh(system, writer, path, find, rounds):
    """One writer counts in a caption; many readers ask for the same thing all the time. Before a reader sends its request
    it notes the last number that the writer has had acknowledged: it must not get an older one."""
    item = writer.new_item("0")
    path = path.replace("{id}", str(item["id"]))
    acknowledged, failures, reads = 0, [], 0
    lock, finished = threading.Lock(), threading.Event()

    def read():
        nonlocal reads
        with Api(system, writer.token) as client:
            while not finished.is_set():
                least = acknowledged
                response = client.get(path)
                if response.status_code != 200 or int(find(response.json())) < least:
                    failures.append((least, response.status_code, response.text[:200]))
                    return
                with lock:
                    reads += 1

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        for number in itertools.count(1):
            if failures or (number > rounds and reads > 5 * rounds):
                break
            response = writer.patch(f"/feed/{item['id']}", json={"caption": str(number)})
            assert response.status_code == 200 and response.json()["caption"] == str(number)
            acknowledged = number
    finally:
        finished.set()
        for thread in threads:
            thread.join()
    assert not failures


@READS
def test_what_was_acknowledged_is_seen_by_every_later_read(shared, alice, path, find):
    check_that_reads_are_fresh(shared, alice, path, find, 100 // SLOWER)


@pytest.fixture(scope="module")
def slow():
    """A system whose every look into the items takes 50 ms after it has decided what it sees. So writes end and reads
    begin while a query is under way, which on a fast database hardly ever happens."""
    with System() as system:
        with Api(system) as api, api.new_user() as user:
            user.new_item()
            system.sql("""
                alter table feeditems rename to items_kept;
                create view feeditems as select * from items_kept where (select pg_sleep(0.05)::text) is not null;
                alter view feeditems alter column created_at set default (now() at time zone 'utc');
                alter view feeditems alter column updated_at set default (now() at time zone 'utc');
                alter view feeditems alter column state set default 'pending';
                alter view feeditems alter column id set default nextval('feeditems_id_seq');
            """)
            yield system, user


@READS
def test_the_same_while_queries_are_slow(slow, path, find):
    system, user = slow
    check_that_reads_are_fresh(system, user, path, find, 15)


def test_one_who_reads_what_they_wrote(shared, alice):
    """On another connection than the one written on, at once."""
    with Api(shared, alice.token) as reader:
        for n in range(100):
            item = alice.new_item(f"own {n}")
            assert reader.get("/feed?limit=1").json()[0]["id"] == item["id"]
            assert alice.patch(f"/feed/{item['id']}", json={"caption": "x"}).status_code == 200
            assert reader.get(f"/feed/{item['id']}").json()["caption"] == "x"
            assert alice.delete(f"/feed/{item['id']}").status_code == 200
            assert reader.get(f"/feed/{item['id']}").status_code == 404
            assert reader.get("/feed?limit=1").json()[0]["id"] != item["id"]
