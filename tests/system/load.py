"""A small load by several clients, and the book that is kept of it: what was acknowledged, and how every request ended."""

import threading
import time
from collections import Counter
from dataclasses import dataclass

import httpx

import images
from api import PASSWORD, Api, image_id
from system import SLOWER, wait_until

# What a request may take: its message's deadline (proto/*.def).
DEADLINES_S = {"read": 3.0, "write": 5.0, "login": 10.0, "upload": 30.0}
SLACK_S = 1.5 * SLOWER
HANG_S = 40  # when a client gives up


@dataclass
class Ended:
    kind: str
    status: int | str  # or the name of the error that the connection ended with
    started: float
    seconds: float
    detail: str = ""


class Load:
    """Start it, break something, stop it, look into the book. One user owns all the items."""

    def __init__(self, system, writers=2, readers=3, close=False):
        self.system = system
        self.ended = []
        self.captions = {}  # of an acknowledged item: all that its caption may be
        self.keys = {}      # of an acknowledged item: its image's id
        self.uploaded = set()
        self.deleted = set()
        self.perhaps_deleted = set()
        self.finished = threading.Event()
        self.lock = threading.Lock()
        self.headers = {"Connection": "close"} if close else {}
        with Api(system) as api, api.new_user("load") as user:
            self.token, self.email = user.token, user.email
        self.threads = [threading.Thread(target=self.run, args=(step,), daemon=True) for step in [self.write] * writers + [self.read] * readers + [self.log_in]]
        self.picture = images.jpeg(120, 90)

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.finished.set()
        for thread in self.threads:
            thread.join(HANG_S + 5)
            assert not thread.is_alive(), "a client hangs"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def warm_up(self):
        """Until enough has been done that something can be lost."""
        wait_until(lambda: self.count() > 60 and len(self.uploaded) > 10, 30 * SLOWER, "some requests")

    def run(self, step):
        with Api(self.system, self.token, timeout_s=HANG_S) as client:
            client.headers.update(self.headers)
            number = 0
            while not self.finished.is_set():
                step(client, number)
                number += 1

    def request(self, kind, function, *arguments, **options):
        """The response, or None if the connection ended instead."""
        started = time.monotonic()
        response = None
        try:
            response = function(*arguments, **options)
            status, detail = response.status_code, response.text[:200] if response.status_code >= 400 else ""
        except httpx.TransportError as error:
            status, detail = type(error).__name__, str(error)
        with self.lock:
            self.ended.append(Ended(kind, status, started, time.monotonic() - started, detail))
        if not isinstance(status, int) or status >= 500:
            self.finished.wait(0.02)  # as clients do: not at once again
        return response

    # ---- what the clients do ----

    def write(self, client, number):
        caption = f"{threading.get_ident()} {number}"
        response = self.request("write", client.post, "/feed", json={"caption": caption})
        if response is None or response.status_code != 201:
            return
        item = response.json()
        with self.lock:
            self.captions[item["id"]] = {caption}
            self.keys[item["id"]] = image_id(item)
        response = self.request("upload", httpx.put, item["url"], content=self.picture, timeout=HANG_S, trust_env=False)
        if response is not None and response.status_code == 200:
            self.uploaded.add(item["id"])
        if number % 3 == 1:
            self.captions[item["id"]].add(caption + " edited")  # also if no answer says so
            response = self.request("write", client.patch, f"/feed/{item['id']}", json={"caption": caption + " edited"})
            if response is not None and response.status_code == 200:
                self.captions[item["id"]] = {caption + " edited"}
        if number % 5 == 4:
            self.perhaps_deleted.add(item["id"])
            response = self.request("write", client.delete, f"/feed/{item['id']}")
            if response is not None and response.status_code == 200:
                self.deleted.add(item["id"])

    def read(self, client, number):
        paths = ["/feed", "/feed/thumbnails?limit=50", f"/users/{self.email}", "/feed?state=ready&limit=5"]
        self.request("read", client.get, paths[number % len(paths)])

    def log_in(self, client, _):
        self.request("login", client.post, "/users/auth/login", json={"email": self.email, "password": PASSWORD})
        self.finished.wait(0.05)

    # ---- the book ----

    def count(self):
        return len(self.ended)

    def statuses(self, since=0, kinds=None):
        return Counter(one.status for one in self.ended[since:] if kinds is None or one.kind in kinds)

    def succeeded_since(self, moment):
        """The kinds of which one began later and ended well."""
        return {one.kind for one in self.ended[:] if one.started > moment and isinstance(one.status, int) and one.status < 300}

    def slow(self):
        return [one for one in self.ended if one.seconds > DEADLINES_S[one.kind] + SLACK_S]
