"""No read is ever older than its request, however many identical ones share a query."""

import threading

import pytest

from api import Api
from system import SLOWER


@pytest.mark.parametrize("path, find", [
    ("/feed?limit=1", lambda body: body[0]["caption"]),
    ("/feed/thumbnails?limit=1", lambda body: body[0]["caption"]),
    ("/feed/{id}/thumbnail", lambda body: body["caption"]),
    ("/feed/{id}", lambda body: body["caption"]),
], ids=["list", "thumbnails", "thumbnail", "item"])
def test_what_was_acknowledged_is_seen_by_every_later_read(shared, alice, path, find):
    """One writer counts in a caption; many readers ask for the same thing all the time. Before a reader sends its request
    it notes the last number that the writer has had acknowledged: it must not get an older one."""
    rounds, readers = 300 // SLOWER, 12
    item = alice.new_item("0")
    path = path.replace("{id}", str(item["id"]))
    acknowledged, failures, reads = 0, [], 0
    lock, finished = threading.Lock(), threading.Event()

    def read():
        nonlocal reads
        with Api(shared, alice.token) as client:
            while not finished.is_set():
                least = acknowledged
                response = client.get(path)
                if response.status_code != 200 or int(find(response.json())) < least:
                    failures.append((least, response.status_code, response.text[:200]))
                    return
                with lock:
                    reads += 1

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, rounds + 1):
            response = alice.patch(f"/feed/{item['id']}", json={"caption": str(number)})
            assert response.status_code == 200 and response.json()["caption"] == str(number)
            acknowledged = number
            if failures:
                break
    finally:
        finished.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert reads > rounds


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
