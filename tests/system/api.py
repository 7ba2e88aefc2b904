"""The HTTP API as a client sees it, and what must be true of every answer."""

import itertools
import re
import time
import uuid

import httpx

from system import SLOWER, wait_until

INTERNAL = "An internal error has occurred"
NOT_EDITABLE = "Feed item not found or item not editable by user"
ITEM_NOT_FOUND = "Feed item not found"
CAPTION = "Caption is required or malformed"
EMAIL = "Email is required or malformed"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
REQUEST_ID = re.compile(r"[0-9a-f]{32}")
PASSWORD = "correct horse battery staple"

numbers = itertools.count(1)


class Api(httpx.Client):
    """Paths are relative to /api/v0; one that begins with // to the root. With a token it is sent along."""

    def __init__(self, system, token=None, email=None, timeout_s=20 * SLOWER, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(headers=headers, timeout=timeout_s, trust_env=False, **options)
        self.system = system
        self.token = token
        self.email = email

    def request(self, method, url, **options):
        if url.startswith("//"):
            url = self.system.url + url[1:]
        elif url.startswith("/"):
            url = self.system.url + "/api/v0" + url
        response = super().request(method, url, **options)
        if url.startswith(self.system.url):
            check_common(response)
        return response

    # ---- what tests do over and over ----

    def as_user(self, token, email=None):
        return Api(self.system, token, email)

    def new_user(self, name="user"):
        """Register somebody new and return a client that is signed in."""
        email = f"{name}{next(numbers)}.{uuid.uuid4().hex[:8]}@example.org"
        response = self.post("/users/auth", json={"email": email, "password": PASSWORD})
        assert response.status_code == 201, response.text
        return self.as_user(response.json()["token"], email)

    def new_item(self, caption="a caption"):
        response = self.post("/feed", json={"caption": caption})
        assert response.status_code == 201, response.text
        return response.json()

    def item(self, item_id):
        response = self.get(f"/feed/{item_id}")
        assert response.status_code == 200, response.text
        return response.json()

    def upload(self, item, content, **options):
        response = httpx.put(item["url"], content=content, timeout=30 * SLOWER, trust_env=False, **options)
        assert response.status_code == 200, response.text

    def settled(self, item_id, timeout_s=20 * SLOWER):
        """The item once its image has been processed."""
        return wait_until(lambda: (found := self.item(item_id))["state"] != "pending" and found, timeout_s,
                          f"the end of processing item {item_id}")

    def post_image(self, content, caption="an image"):
        """The whole way: the item, ready or rejected."""
        item = self.new_item(caption)
        self.upload(item, content)
        return self.settled(item["id"])


def image_id(item):
    """Whatever the URL is for, its path ends with the image's id."""
    return httpx.URL(item["url"]).path.rpartition("/")[2]


def check_common(response):
    """What is true of every answer of the gateway."""
    assert REQUEST_ID.fullmatch(response.headers["x-request-id"])
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "nginx" not in response.headers.get("server", "").lower() or response.headers["server"] == "nginx"
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
    if response.status_code >= 400 and response.request.method != "HEAD":
        body = response.json()
        assert list(body) == ["code", "message"] and body["code"] == response.status_code and body["message"], body
        assert response.headers["content-type"] == "application/json"


def assert_error(response, status, message):
    assert (response.status_code, response.json()) == (status, {"code": status, "message": message})


ITEM_MEMBERS = ["id", "caption", "url", "editable", "created_at", "updated_at", "state"]
ITEM_EXTRAS = ["reject_reason", "width", "height"]


def check_item(item):
    """An item's members, their types and nothing else."""
    assert list(item)[:len(ITEM_MEMBERS)] == ITEM_MEMBERS
    assert set(item) <= {*ITEM_MEMBERS, *ITEM_EXTRAS}
    assert type(item["id"]) is int and 1 <= item["id"] < 2**31
    assert type(item["caption"]) is str
    assert type(item["editable"]) is bool
    assert TIME.fullmatch(item["created_at"]) and TIME.fullmatch(item["updated_at"])
    assert item["created_at"] <= item["updated_at"]
    assert item["state"] in ("pending", "ready", "rejected")
    assert (item["state"] == "rejected") == ("reject_reason" in item)
    assert ("width" in item) == ("height" in item)
    return item


def next_link(response):
    """The target of rel="next" (RFC 8288), relative to the API, or None."""
    link = response.headers.get("link")
    if link is None:
        return None
    match = re.fullmatch(r'<(/api/v0)(/[^>]*)>; rel="next"', link)
    assert match, link
    return match.group(2)


def timed(function, *arguments, **options):
    started = time.monotonic()
    result = function(*arguments, **options)
    return result, time.monotonic() - started
