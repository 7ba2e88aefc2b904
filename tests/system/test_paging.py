"""Pages of both lists: order, before, limit, cursor and Link, state; and rows that move between two pages."""

import base64
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from api import assert_error, check_item, next_link
from system import TOKEN_SECRET

BEFORE = "before must be an RFC 3339 time such as 2026-01-02T03:04:05.678901Z"
LIMIT = "limit must be a whole number of at least 1"
CURSOR = "cursor must be one that a Link header gave"
STATE = "state must be ready, pending or all"
LISTS = ["/feed", "/feed/thumbnails"]


@pytest.fixture(scope="module")
def years(shared, alice):
    """Items of long ago, which nothing else in these tests touches: one a minute from 2001-01-01T00:00:00Z on, and in the
    year 2002 sixty that have the very same time. All the other items are younger."""
    shared.sql(f"""
        insert into feeditems (created_by, image_id, caption, created_at, updated_at, state)
        select '{alice.email}', md5('2001-' || n), 'of 2001: ' || n, t, t, (array['pending', 'ready', 'rejected'])[1 + n % 3]
        from generate_series(0, 299) n, lateral (select timestamp '2001-01-01' + n * interval '1 minute' as t) times order by n;
        update feeditems set reject_reason = 'made so' where state = 'rejected' and created_at < '2002-01-01';
        insert into feeditems (created_by, image_id, caption, created_at, updated_at, state)
        select '{alice.email}', md5('2002-' || n), 'of 2002: ' || n, '2002-01-01', '2002-01-01', 'ready' from generate_series(0, 59) n;
    """)


def items(response):
    assert response.status_code == 200, response.text
    return [check_item(item) for item in response.json()]


def captions(response):
    return [item["caption"] for item in items(response)]


def of_2001(numbers):
    return [f"of 2001: {n}" for n in numbers]


def walk(api, path, pages_max=100):
    """All pages from `path` on, by their links."""
    pages = []
    while path is not None:
        assert len(pages) < pages_max, "the links lead on for ever"
        response = api.get(path)
        pages.append(items(response))
        path = next_link(response)
    return pages


@pytest.mark.parametrize("path", LISTS)
def test_newest_first_and_20_by_default(api, alice, path):
    posted = [alice.new_item(f"number {n}")["id"] for n in range(25)]
    response = api.get(path)
    assert [item["id"] for item in items(response)] == posted[:4:-1]
    assert next_link(response) is not None
    times = [item["updated_at"] for item in items(api.get(f"{path}?limit=100"))]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit, count", [("1", 1), ("2", 2), ("99", 99), ("100", 100), ("101", 100), ("1000000000", 100), ("9223372036854775807", 100), ("007", 7)])
def test_limit(api, years, path, limit, count):
    response = api.get(f"{path}?before=2001-12-31T00:00:00Z&limit={limit}")
    assert captions(response) == of_2001(range(299, 299 - count, -1))
    assert next_link(response) is not None


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "-1", "+1", "1.0", "1e9", "ten", "", "%20", "1%20", "0x10", "9223372036854775808", "18446744073709551617", "9" * 50, "%00", "1,2", "NaN"])
def test_limits_that_are_none(api, path, limit):
    response = api.get(f"{path}?limit={limit}")
    assert_error(response, 400, LIMIT)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("before, newest", [
    ("2001-01-01T01:00:00Z", 59), ("2001-01-01T01:00:00.000001Z", 60), ("2001-01-01T01:00:00.000000999Z", 59), ("2001-01-01T01:00:00.9Z", 60),
    ("2001-01-01t01:00:00z", 59), ("2001-01-01 01:00:00Z", 59), ("2001-01-01T02:00:00%2B01:00", 59), ("2000-12-31T15:00:00-10:00", 59),
    ("2001-01-01T01:00:00%2B00:00", 59), ("2001-01-01T01:00:00+00:00", 59), ("2001-01-01T02:00:00+01:00", 59), ("2001-01-01T01:00:00-00:00", 59), ("2001-01-01T00%3A59%3A60Z", 59),
])
def test_before(api, years, path, before, newest):
    """Strictly older than the time, to the microsecond, whatever the offset; a plus that was not escaped is a plus."""
    assert captions(api.get(f"{path}?before={before}&limit=3")) == of_2001(range(newest, newest - 3, -1))


@pytest.mark.parametrize("path", LISTS)
def test_before_far_away(api, years, path):
    assert items(api.get(f"{path}?before=2001-01-01T00:00:00Z")) == []
    assert items(api.get(f"{path}?before=0001-01-01T00:00:00Z")) == []
    newest = [item["id"] for item in items(api.get(f"{path}?limit=5"))]
    assert [item["id"] for item in items(api.get(f"{path}?before=9999-12-31T23:59:59.999999Z&limit=5"))] == newest


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("before", [
    "", "now", "2001", "2001-01-01", "2001-01-01T01:00:00", "2001-01-01T01:00Z", "2001-01-01T25:00:00Z", "2001-13-01T00:00:00Z", "2001-02-29T00:00:00Z",
    "2001-01-01T01:00:00 00:00", "2001-01-01T01:00:00.Z", "2001-01-01T01:00:00%2B24:00", "2001-01-01T01:00:00ZZ", "978310800",
    "-2001-01-01T01:00:00Z", "10000-01-01T00:00:00Z", "2001-01-01T01:00:00Z%00", "2001-01-01T00:00:61Z", "%ff", "2001-01-01T01:00:00,5Z",
])
def test_befores_that_are_none(api, path, before):
    """Also one whose plus became a blank on its way: a page that begins an hour off would be worse."""
    response = api.get(f"{path}?before={before}")
    assert_error(response, 400, BEFORE)


@pytest.mark.parametrize("path", LISTS)
def test_parameters_given_twice_or_unknown(api, years, path):
    assert api.get(f"{path}?limit=1&limit=2").status_code == 400
    assert api.get(f"{path}?before=2001-01-01T01:00:00Z&before=2001-01-01T01:00:00Z").status_code == 400
    assert captions(api.get(f"{path}?&&x=1&x=2&before=2001-01-01T01:00:00Z&li%6dit=2&%ff=%zz&=")) == of_2001([59, 58])


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 7, 60, 100])
def test_links_lead_through_everything_once(api, years, path, limit):
    if limit == 1:
        pages = walk(api, f"{path}?before=2001-01-01T00:20:00Z&limit=1")
        expected = of_2001(range(19, -1, -1))
    else:
        pages = walk(api, f"{path}?before=2001-12-31T00:00:00Z&limit={limit}")
        expected = of_2001(range(299, -1, -1))
    assert [item["caption"] for page in pages for item in page] == expected
    assert all(len(page) == limit for page in pages[:-1])


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 7, 20, 59, 60])
def test_equal_times_across_the_border_of_a_page(api, years, path, limit):
    """60 items of one moment: every one comes exactly once, the highest id first."""
    pages = walk(api, f"{path}?before=2002-01-01T00:00:00.000001Z&limit={limit}", pages_max=400)
    found = [item["id"] for page in pages for item in page if item["caption"].startswith("of 2002")]
    assert len(found) == 60 and found == sorted(found, reverse=True)
    whole = [item["caption"] for page in pages for item in page]
    assert whole[60:] == of_2001(range(299, -1, -1))[:len(whole) - 60] and len(whole) == 360


def test_the_last_page_says_so(api, years):
    response = api.get("/feed?before=2001-01-01T00:03:00Z&limit=20")
    assert captions(response) == of_2001([2, 1, 0]) and "link" not in response.headers
    pages = walk(api, "/feed?before=2001-01-01T00:03:00Z&limit=3")
    assert [item["caption"] for page in pages for item in page] == of_2001([2, 1, 0])


def test_the_link_keeps_the_question(api, years):
    response = api.get("/feed?before=2001-01-01T01:00:00Z&state=ready&limit=2&other=%C3%BC%22%3E")
    query = parse_qs(urlsplit(next_link(response)).query, keep_blank_values=True)
    assert {name: query[name] for name in ("state", "limit", "other")} == {"state": ["ready"], "limit": ["2"], "other": ['ü">']}
    assert len(query["cursor"]) == 1 and len(query["cursor"][0]) <= 64
    following = api.get(next_link(response))
    assert captions(response) + captions(following) == of_2001([58, 55, 52, 49])
    # And its own cursor takes the place of the one before.
    assert len(parse_qs(urlsplit(next_link(following)).query)["cursor"]) == 1


def test_a_link_belongs_to_its_list(api, years):
    response = api.get("/feed/thumbnails?before=2001-01-01T01:00:00Z&limit=2")
    assert next_link(response).startswith("/feed/thumbnails?")
    assert captions(api.get(next_link(response))) == of_2001([57, 56])
    assert all("/pixbus-thumbnails/" in item["url"] for item in items(response))


def test_rows_that_go_between_two_pages(api, shared, alice):
    """The cursor holds values: the row that it was made of may be gone, and the ones around it."""
    made = [alice.new_item(f"goes {n}")["id"] for n in range(12)][::-1]
    response = api.get("/feed?limit=4")
    assert [item["id"] for item in items(response)] == made[:4]
    for gone in (made[3], made[4], made[0]):
        assert alice.delete(f"/feed/{gone}").status_code == 200
    following = api.get(next_link(response))
    assert [item["id"] for item in items(following)] == made[5:9]
    # One that is edited between two pages is at the front, not lost: it comes on no later page.
    assert alice.patch(f"/feed/{made[10]}", json={"caption": "moved"}).status_code == 200
    rest = api.get(next_link(following))
    assert [item["id"] for item in items(rest)][:2] == [made[9], made[11]]
    assert items(api.get("/feed?limit=1"))[0]["id"] == made[10]


def test_rows_that_come_between_two_pages(api, alice):
    made = [alice.new_item(f"comes {n}")["id"] for n in range(8)][::-1]
    response = api.get("/feed?limit=4")
    alice.new_item("between")
    assert [item["id"] for item in items(api.get(next_link(response)))] == made[4:8]


def cursor_of(api):
    return parse_qs(urlsplit(next_link(api.get("/feed?before=2001-01-01T01:00:00Z&limit=2"))).query)["cursor"][0]


def test_forged_and_broken_cursors(api, years):
    good = cursor_of(api)
    assert captions(api.get(f"/feed?limit=2&cursor={quote(good)}")) == of_2001([57, 56])
    bad = [good[:n] for n in range(0, len(good))] + [good + "A", good + "=", good + "%00", "x", "%ff", "A" * 64, "A" * 65, "A" * 5000, "../..", "null", "0", "-1",
                                                    base64.urlsafe_b64encode(b"2001-01-01T00:57:00Z,1").decode(), good[::-1]]
    for cursor in bad:
        for path in LISTS:
            response = api.get(f"{path}?cursor={cursor}")
            assert_error(response, 400, CURSOR)


def test_every_changed_character_of_a_cursor_is_noticed(api, years):
    good = cursor_of(api)
    for at, character in enumerate(good):
        changed = good[:at] + ("A" if character != "A" else "B") + good[at + 1:]
        assert_error(api.get(f"/feed?limit=2&cursor={quote(changed)}"), 400, CURSOR)
    assert TOKEN_SECRET not in good


def test_cursor_and_before_together(api, years):
    """The cursor wins: it is what a link adds to the question."""
    assert captions(api.get(f"/feed?before=2001-01-01T03:00:00Z&limit=1&cursor={quote(cursor_of(api))}")) == of_2001([57])
    assert_error(api.get(f"/feed?before=x&cursor={quote(cursor_of(api))}"), 400, BEFORE)


@pytest.mark.parametrize("state, remainders", [("all", (0, 1, 2)), ("pending", (0,)), ("ready", (1,))])
def test_state(api, years, state, remainders):
    pages = walk(api, f"/feed?before=2001-12-31T00:00:00Z&limit=40&state={state}")
    assert [item["caption"] for page in pages for item in page] == of_2001(n for n in range(299, -1, -1) if n % 3 in remainders)
    if state != "all":
        assert {item["state"] for page in pages for item in page} == {state}


@pytest.mark.parametrize("state", ["", "rejected", "READY", "ready,pending", "%00", "1"])
def test_states_that_are_none(api, state):
    assert_error(api.get(f"/feed?state={state}"), 400, STATE)


def test_what_is_rejected_says_why(api, years):
    rejected = [item for item in items(api.get("/feed?before=2001-01-01T00:10:00Z")) if item["state"] == "rejected"]
    assert len(rejected) == 3 and {item["reject_reason"] for item in rejected} == {"made so"}


def test_items_of_the_same_page_have_urls_of_their_own(api, years):
    page = items(api.get("/feed?before=2001-01-01T01:00:00Z&limit=50"))
    assert len({item["url"] for item in page}) == 50


def test_editable_is_the_callers(api, alice, bob):
    mine, his = alice.new_item()["id"], bob.new_item()["id"]
    for who, expected in ((alice, {mine: True, his: False}), (bob, {mine: False, his: True}), (api, {mine: False, his: False})):
        page = {item["id"]: item["editable"] for item in items(who.get("/feed?limit=5"))}
        assert {mine: page[mine], his: page[his]} == expected
        assert not any(item["editable"] for item in items(who.get("/feed/thumbnails?limit=5")))


def test_paging_by_before_as_older_clients_do(api, years):
    """They ask for what is older than the last item of the page before."""
    path, found = "/feed?before=2001-01-01T02:00:00Z&limit=50", []
    for _ in range(4):
        page = items(api.get(path))
        found += [item["caption"] for item in page]
        if not page:
            break
        path = f"/feed?limit=50&before={page[-1]['updated_at']}"
    assert found == of_2001(range(119, -1, -1))
