"""Items: post, get, edit, delete, list, and who may do what."""

import json
import time
from datetime import datetime, timezone

import httpx
import pytest

from api import CAPTION, ITEM_NOT_FOUND, NOT_EDITABLE, assert_error, check_item, image_id

NO_ITEM = ["0", "-1", "+1", "1.0", "1e3", "0x10", "abc", "%20", "1%202", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808",
           "18446744073709551616", "9" * 100, "%E2%91%A0", "1;drop", "null"]


def presigned(url):
    """The parts of a presigned URL: its path, its query."""
    url = httpx.URL(url)
    return url.path, dict(url.params)


def test_post(api, shared, alice):
    response = alice.post("/feed", json={"caption": "first light"})
    assert response.status_code == 201
    item = check_item(response.json())
    assert (item["caption"], item["editable"], item["state"]) == ("first light", True, "pending")
    assert item["created_at"] == item["updated_at"]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(item["created_at"])
    assert -5 < age.total_seconds() < 30
    path, query = presigned(item["url"])
    assert item["url"].startswith(shared.store_url + "/pixbus-media/")
    assert len(image_id(item)) == 32 and set(image_id(item)) <= set("0123456789abcdef")
    assert path == f"/pixbus-media/{image_id(item)}"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256" and 300 <= int(query["X-Amz-Expires"]) <= 600
    # It is there for everybody at once, and everybody sees the same but for whose it is.
    seen = api.get("/feed").json()[0]
    assert {**seen, "url": "", "editable": True} == {**item, "url": ""}
    assert seen["editable"] is False


def test_image_ids_are_not_guessable(alice):
    ids = {image_id(alice.new_item()) for _ in range(20)}
    assert len(ids) == 20
    # 20 random bits of each position are never all the same: nothing counts up, nothing is a clock.
    assert all(len({one[position] for one in ids}) > 1 for position in range(32) if position not in (12, 16))


def test_get(api, alice, bob):
    item = alice.new_item("mine")
    own, others = alice.item(item["id"]), bob.item(item["id"])
    assert check_item(own)["editable"] is True and check_item(others)["editable"] is False
    for one in (own, others):
        path, query = presigned(one["url"])
        assert path.endswith("/" + image_id(item)) and "X-Amz-Signature" in query
        assert {**one, "url": "", "editable": True} == {**item, "url": ""}
    assert_error(api.get(f"/feed/{item['id']}"), 401, "No authorization headers")


def test_thumbnail(api, shared, alice):
    item = alice.new_item("thumb")
    response = api.get(f"/feed/{item['id']}/thumbnail")
    assert response.status_code == 200
    thumbnail = check_item(response.json())
    assert thumbnail["url"] == f"{shared.store_url}/pixbus-thumbnails/{image_id(item)}"
    assert thumbnail["editable"] is False and thumbnail["id"] == item["id"]
    # Whoever asks: nobody is signed in here.
    assert alice.get(f"/feed/{item['id']}/thumbnail").json() == thumbnail


@pytest.mark.parametrize("number", NO_ITEM)
def test_items_that_are_none(api, alice, number):
    assert_error(api.get(f"/feed/{number}/thumbnail"), 404, ITEM_NOT_FOUND)
    assert_error(alice.get(f"/feed/{number}"), 404, ITEM_NOT_FOUND)
    assert_error(alice.patch(f"/feed/{number}", json={"caption": "x"}), 400, NOT_EDITABLE)
    assert_error(alice.delete(f"/feed/{number}"), 400, NOT_EDITABLE)


def test_patch(api, alice):
    item = alice.new_item("before")
    response = alice.patch(f"/feed/{item['id']}", json={"caption": "after"})
    assert response.status_code == 200
    edited = check_item(response.json())
    assert (edited["caption"], edited["editable"], edited["created_at"]) == ("after", True, item["created_at"])
    assert edited["updated_at"] > item["updated_at"]
    assert alice.item(item["id"])["caption"] == "after"
    assert api.get("/feed?limit=1").json()[0]["id"] == item["id"]


def test_a_patch_moves_the_item_to_the_front(api, alice):
    first, second = alice.new_item("first"), alice.new_item("second")
    assert [item["id"] for item in api.get("/feed?limit=2").json()] == [second["id"], first["id"]]
    alice.patch(f"/feed/{first['id']}", json={"caption": "first"})
    assert [item["id"] for item in api.get("/feed?limit=2").json()] == [first["id"], second["id"]]


def test_delete(api, alice):
    item = alice.new_item("short-lived")
    response = alice.delete(f"/feed/{item['id']}")
    assert (response.status_code, response.json()) == (200, {"id": item["id"]})
    assert_error(alice.get(f"/feed/{item['id']}"), 404, ITEM_NOT_FOUND)
    assert_error(api.get(f"/feed/{item['id']}/thumbnail"), 404, ITEM_NOT_FOUND)
    assert_error(alice.patch(f"/feed/{item['id']}", json={"caption": "x"}), 400, NOT_EDITABLE)
    assert_error(alice.delete(f"/feed/{item['id']}"), 400, NOT_EDITABLE)
    assert_error(alice.get(f"/feed/signed-url/{image_id(item)}"), 404, "Image not found")
    assert item["id"] not in [one["id"] for one in api.get("/feed?limit=100").json()]


def test_what_is_somebody_elses_stays_as_it_is(alice, bob):
    item = alice.new_item("alice's")
    assert_error(bob.patch(f"/feed/{item['id']}", json={"caption": "bob's"}), 400, NOT_EDITABLE)
    assert_error(bob.delete(f"/feed/{item['id']}"), 400, NOT_EDITABLE)
    assert_error(bob.get(f"/feed/signed-url/{image_id(item)}"), 404, "Image not found")
    assert {**alice.item(item["id"]), "url": ""} == {**item, "url": ""}


def test_signed_url(alice):
    item = alice.new_item()
    response = alice.get(f"/feed/signed-url/{image_id(item)}")
    assert response.status_code == 200 and list(response.json()) == ["url"]
    assert presigned(response.json()["url"])[0] == presigned(item["url"])[0]
    alice.upload(response.json(), b"an image, or not")


@pytest.mark.parametrize("name", ["0" * 32, "f" * 32, "x", "%2e%2e%2fother", "%2Fetc%2Fpasswd", "a%20b", "a" * 65, "a" * 2000, "%E2%82%AC", "pixbus-media"])
def test_no_signed_url_for_any_other_name(alice, name):
    """The older system signed every name for everybody."""
    assert_error(alice.get(f"/feed/signed-url/{name}"), 404, "Image not found")


@pytest.mark.parametrize("body", [
    {}, {"caption": None}, {"caption": ""}, {"caption": 7}, {"caption": True}, {"caption": ["x"]}, {"caption": {"x": 1}},
    {"Caption": "x"}, {"caption": "x" * 8193}, {"caption": "é" * 4097}, {"caption": "\ud800"}, {"caption": "a\0b"},
])
def test_captions_that_are_none(alice, body):
    content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    item = alice.new_item("as it was")
    broken = body.get("caption") in ("\ud800", "a\0b")  # then it is not even JSON that we take
    for response in (alice.post("/feed", content=content, headers=headers), alice.patch(f"/feed/{item['id']}", content=content, headers=headers)):
        assert response.status_code == 400
        if not broken:
            assert_error(response, 400, CAPTION)
    assert alice.item(item["id"])["caption"] == "as it was"


@pytest.mark.parametrize("caption", [
    "x", " ", "x" * 8192, "é" * 4096, "\u05e9\u05dc\u05d5\u05dd \u202e", "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{PILE OF POO}", "\U0010ffff\uffff", "\"\\/\b\f\n\r\t\x01\x7f",
    "<script>alert(1)</script>", "%s%n %00 '); drop table feeditems; --", "{\"a\":1}", "\ufeffx", "e\u0301",
], ids=lambda caption: ascii(caption[:20]))
def test_captions_come_back_as_they_were(api, alice, caption):
    item = alice.new_item(caption)
    assert item["caption"] == caption
    assert alice.item(item["id"])["caption"] == caption
    assert api.get("/feed?limit=1").json()[0]["caption"] == caption
    edited = alice.patch(f"/feed/{item['id']}", json={"caption": caption[::-1]}).json()
    assert edited["caption"] == caption[::-1]


def test_members_that_nobody_knows_are_skipped(alice):
    response = alice.post("/feed", json={"caption": "x", "id": 1, "editable": False, "state": "ready", "owner": "bob", "url": "http://x"})
    item = check_item(response.json())
    assert (item["state"], item["editable"]) == ("pending", True)


def test_urls_are_valid_for_as_long_as_promised(api, alice):
    item = alice.new_item()
    now = time.time()
    for url in (item["url"], alice.item(item["id"])["url"], api.get("/feed?limit=1").json()[0]["url"]):
        query = presigned(url)[1]
        signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
        left = signed + int(query["X-Amz-Expires"]) - now
        assert 295 <= left <= 610
