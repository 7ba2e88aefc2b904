"""HTTP itself: paths, methods, bodies, headers, limits, and requests that are built to confuse."""

import gzip
import json
import socket
import time

import pytest

from api import REQUEST_ID, assert_error
from raw import Connection, exchange
from system import wait_until

JSON = {"Content-Type": "application/json"}
ROUTES = {
    "/users/auth": "POST", "/users/auth/login": "POST", "/users/auth/verification": "GET, HEAD", "/users/a@b.org": "GET, HEAD",
    "/feed": "GET, HEAD, POST", "/feed/thumbnails": "GET, HEAD", "/feed/signed-url/x": "GET, HEAD", "/feed/1": "GET, HEAD, PATCH, DELETE",
    "/feed/1/thumbnail": "GET, HEAD", "//healthz": "GET, HEAD", "//readyz": "GET, HEAD", "//metrics": "GET, HEAD",
}


def names(value):
    return sorted(name.strip() for name in value.split(","))


def ask(shared, data, answers=1, method="GET"):
    found = exchange(shared.address, data, answers, method)
    for answer in found:
        check(answer, method)
    return found if answers > 1 else found[0]


def check(answer, method="GET"):
    """What holds for every answer, also those that nginx makes by itself."""
    assert REQUEST_ID.fullmatch(answer.header("x-request-id"))
    if answer.status >= 400 and method != "HEAD":
        assert answer.header("content-type") == "application/json"
        body = json.loads(answer.body)
        assert list(body) == ["code", "message"] and body["code"] == answer.status and body["message"]


def refused(answer, status, message):
    assert (answer.status, json.loads(answer.body)) == (status, {"code": status, "message": message})


# ---- paths and methods ----

@pytest.mark.parametrize("path", ["/", "/x", "/feeds", "/feed/1/x", "/feed/1/thumbnail/x", "/feed//1", "/users", "/users/auth/login/x", "//", "//api", "//api/v1/feed",
                                  "//API/v0/feed", "/Feed", "//healthz/x", "//x/y/z/a/b/c/d/e/f/g", "//.errors", "//index.html", "//.git/config"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_paths_that_are_none(api, method, path):
    assert_error(api.request(method, path), 404, "Not found")


@pytest.mark.parametrize("path", ["/api/v0/feed/../feed", "/api/v0/./feed", "//api/v0/feed", "/api//v0/feed", "/%2e%2e/etc/passwd", "*", "/%2Fapi/v0/feed", "/api/v0/feed/.."])
def test_paths_are_not_tidied_up(shared, path):
    """What one server takes for the same path another one does not: nothing but a trailing slash is ignored. The last of
    them is an item that does not exist, for those who are signed in."""
    answer = ask(shared, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.status in ((401,) if path.endswith("/..") else (400, 404))


def test_percent_encoding_is_undone_once(api, alice):
    item = alice.new_item()
    assert api.get(f"/fee%64/%{ord(str(item['id'])[0]):x}{str(item['id'])[1:]}/thumbnail").json()["id"] == item["id"]
    assert api.get(f"/feed/%25{ord(str(item['id'])[0]):x}{str(item['id'])[1:]}/thumbnail").status_code == 404
    assert_error(api.get("/feed%2Fthumbnails"), 404, "Not found")


@pytest.mark.parametrize("path, allowed", ROUTES.items())
def test_methods(api, path, allowed):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "FOO"):
        if method in names(allowed):
            continue
        response = api.request(method, path)
        assert_error(response, 405, "Method not allowed")
        assert names(response.headers["allow"]) == names(allowed + ", OPTIONS")


@pytest.mark.parametrize("path, allowed", ROUTES.items())
def test_options(api, path, allowed):
    response = api.options(path)
    assert response.status_code == 204 and names(response.headers["allow"]) == names(allowed + ", OPTIONS")
    assert response.content == b"" and "content-length" not in response.headers


def test_a_trailing_slash_is_ignored(api, alice):
    item = alice.new_item()
    for path in (f"/feed/{item['id']}/thumbnail", f"/users/{alice.email}", "/feed/thumbnails", "//healthz"):
        assert api.get(path + "/").json() == api.get(path).json()
    assert api.get("/feed/?limit=1").json()[0]["id"] == item["id"]
    assert alice.post("/feed/", json={"caption": "slash"}).status_code == 201
    assert alice.patch(f"/feed/{item['id']}/", json={"caption": "slash"}).status_code == 200
    assert alice.delete(f"/feed/{item['id']}/").status_code == 200
    assert_error(api.get("/feed//"), 404, "Not found")


def test_head_is_get_without_its_body(api, alice):
    for who, path in ((api, "/feed"), (api, "/feed/thumbnails"), (alice, f"/feed/{alice.new_item()['id']}"), (alice, "/users/auth/verification"), (api, "//healthz")):
        head = who.head(path)
        assert head.status_code == 200 and head.content == b"" and head.headers["content-type"] == "application/json"
    for path, status in (("/feed/0", 401), ("/nowhere", 404), ("/feed?limit=0", 400), ("/users/auth", 405)):
        response = api.head(path)
        assert response.status_code == status and response.content == b""


def test_head_has_the_length_of_get(api):
    """Of a body that is not compressed, whose length is known beforehand."""
    plain = {"Accept-Encoding": "identity"}
    assert api.head("//healthz", headers=plain).headers["content-length"] == api.get("//healthz", headers=plain).headers["content-length"]


# ---- bodies ----

@pytest.mark.parametrize("path, method", [("/users/auth", "POST"), ("/users/auth/login", "POST"), ("/feed", "POST"), ("/feed/1", "PATCH")])
@pytest.mark.parametrize("content", [
    b"", b"{", b"nonsense", b"[]", b"null", b'"text"', b"7", b'{"caption":"x"', b'{"caption":"x"}}', b'{"caption":"x"} trailing', b"{'caption':'x'}",
    b'{"caption":"x","caption":"y"}', b'{"caption":"\xff"}', b'{"caption":"\xed\xa0\x80"}', b'{"caption":"\\ud800"}', b'{"caption":"a\\u0000b"}',
    b'{"caption":"x","a":' + b"[" * 10000 + b"]" * 10000 + b"}", b'\xef\xbb\xbf{"caption":"x"}', b'\x00', b'{"caption":"\x01"}', b'{"a":99999999999999999999}',
    '{"caption":"x"}'.encode("utf-16"), gzip.compress(b'{"caption":"x"}'),
], ids=lambda value: ascii(value[:16]))
def test_bodies_that_are_no_json_object(alice, path, method, content):
    response = alice.request(method, path, content=content, headers=JSON)
    assert response.status_code == 400
    assert response.json()["message"].startswith("The body is not a JSON object"), response.text


@pytest.mark.parametrize("content_type", ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "application/json ;"])
def test_content_types_that_are_json(alice, content_type):
    assert alice.post("/feed", content=b'{"caption":"x"}', headers={"Content-Type": content_type}).status_code == 201


@pytest.mark.parametrize("content_type", [None, "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp",
                                          "application/json; charset=latin-1", "application/json; charset=utf-16", "application/json, text/plain", "json", "*/*"])
def test_content_types_that_are_not(alice, content_type):
    headers = {"Content-Type": content_type} if content_type is not None else {}
    for method, path in (("POST", "/feed"), ("PATCH", "/feed/1"), ("POST", "/users/auth"), ("POST", "/users/auth/login")):
        assert_error(alice.request(method, path, content=b'{"caption":"x"}', headers=headers), 415, "The content type must be application/json")


def test_compressed_bodies_are_refused(alice):
    """So a bomb has nothing to go off in."""
    bomb = gzip.compress(b'{"caption":"' + b"x" * 10_000_000 + b'"}')
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        response = alice.post("/feed", content=bomb, headers={**JSON, "Content-Encoding": encoding})
        assert response.status_code == 415 and response.json()["message"].startswith("The content type must be application/json")


def test_the_largest_body(alice):
    limit = 64 * 1024
    padding = b" " * (limit - len(b'{"caption":"x"}'))
    assert alice.post("/feed", content=b'{"caption":"x"}' + padding, headers=JSON).status_code == 201
    assert_error(alice.post("/feed", content=b'{"caption":"x"}' + padding + b" ", headers=JSON), 413, "The body is too large")

    def pieces():
        yield b'{"caption":"x"}'
        for _ in range(20):
            yield b" " * 8192

    assert_error(alice.post("/feed", content=pieces(), headers=JSON), 413, "The body is too large")


def test_a_body_in_chunks(alice):
    assert alice.post("/feed", content=iter([b'{"cap', b'tion"', b':"in pieces"}']), headers=JSON).json()["caption"] == "in pieces"
    response = alice.post("/feed", content=iter([]), headers=JSON)
    assert response.status_code == 400 and response.json()["message"].startswith("The body is not a JSON object")


def test_a_body_where_none_belongs_is_skipped(shared):
    first, second = ask(shared, b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
                                b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answers=2)
    assert (first.status, second.status) == (200, 200)


def test_expectations(shared, alice):
    """A client that asks first is told to go on; or what is wrong, before it sends anything."""
    head = (f"POST /api/v0/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\nContent-Type: application/json\r\n"
            "Content-Length: {0}\r\nExpect: {1}\r\n\r\n")
    with Connection(shared.address) as connection:
        connection.send(head.format(15, "100-continue").encode())
        assert connection.status_line() == "HTTP/1.1 100 Continue"
        connection.send(b'{"caption":"x"}')
        answer = connection.answer()
        assert answer.status == 201 and answer.informational == [100]
    with Connection(shared.address) as connection:
        connection.send(head.format(10**6, "100-continue").encode())
        answer = connection.answer()
        check(answer)
        assert answer.status == 413 and answer.informational == []
    with Connection(shared.address) as connection:
        connection.send(head.format(15, "100-continue").replace(alice.token, "x").encode())
        answer = connection.answer()
        assert answer.status == 401 and answer.informational == []
    with Connection(shared.address) as connection:
        connection.send(head.format(15, "200-fish").encode() + b'{"caption":"x"}')
        answer = connection.answer()
        refused(answer, 417, "The expectation cannot be met")


# ---- headers ----

def test_request_ids_are_all_different(api):
    assert len({api.get("//healthz").headers["x-request-id"] for _ in range(50)}) == 50


def test_a_request_id_of_the_client_is_not_taken(api):
    assert api.get("//healthz", headers={"X-Request-Id": "0" * 32}).headers["x-request-id"] != "0" * 32


def test_answers_are_not_to_be_kept(api, alice):
    for response in (api.get("/feed"), alice.get("/feed"), api.get("/nowhere"), api.get("//healthz"), api.get("/feed/1")):
        assert response.headers["cache-control"] == "no-store"


def test_the_server_does_not_say_its_version(api):
    for response in (api.get("/feed"), api.get("/nowhere")):
        assert not any(character.isdigit() for character in response.headers.get("server", ""))


def test_traceparent_is_honoured_and_nonsense_is_not_a_fault(api):
    for value in ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense", "", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-" + "x" * 500, "\u00e9".encode("latin-1")):
        assert api.get("/feed?limit=1", headers={"traceparent": value}).status_code == 200


def test_gzip(api, alice):
    for n in range(12):
        alice.new_item(f"compressible {n} " + "x" * 500)
    response = api.get("/feed?limit=12", headers={"Accept-Encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip" and "Accept-Encoding" in response.headers["vary"]
    raw = api.build_request("GET", str(response.url), headers={"Accept-Encoding": "gzip"})
    streamed = api.send(raw, stream=True)
    compressed = b"".join(streamed.iter_raw())
    streamed.close()
    plain = api.get("/feed?limit=12", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and int(plain.headers["content-length"]) == len(plain.content)
    assert json.loads(gzip.decompress(compressed))[0]["id"] == plain.json()[0]["id"]
    assert len(compressed) < len(plain.content) / 2
    assert "content-encoding" not in api.get("/feed?limit=12", headers={"Accept-Encoding": "gzip;q=0"}).headers
    # What is small is not worth it.
    assert "content-encoding" not in api.get("//healthz", headers={"Accept-Encoding": "gzip"}).headers


# ---- CORS ----

ORIGIN = "https://app.example.org"


def test_every_answer_lets_the_origin_read_it(api, alice):
    for who, method, path in ((api, "GET", "/feed"), (api, "GET", "/nowhere"), (api, "PUT", "/feed"), (api, "POST", "/feed"), (alice, "GET", "/feed/0"), (api, "GET", "//healthz")):
        response = who.request(method, path, headers={"Origin": ORIGIN})
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in response.headers["vary"]
        assert "Link" in response.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in api.get("/feed").headers
    assert "Origin" in api.get("/feed").headers["vary"]


@pytest.mark.parametrize("path, allowed", ROUTES.items())
def test_preflight(api, path, allowed):
    response = api.options(path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization, content-type"})
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert set(names(allowed)) <= set(names(response.headers["access-control-allow-methods"]))
    assert names(response.headers["access-control-allow-headers"]) == ["authorization", "content-type"]
    assert response.headers["access-control-max-age"] == "3600"


@pytest.mark.parametrize("origin", ["nonsense", "https://a.example.org/path", "https://a.example.org, https://b.example.org", "*", "https://x y", ""])
def test_origins_that_are_none_are_not_echoed(api, origin):
    response = api.get("/feed?limit=1", headers={"Origin": origin})
    assert response.status_code == 200 and "access-control-allow-origin" not in response.headers


# ---- what nginx answers by itself ----

def test_a_long_target(shared):
    refused(ask(shared, b"GET /api/v0/feed?x=" + b"y" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 414, "The request target is too long")


def test_large_headers(shared):
    refused(ask(shared, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n\r\n"), 431, "The request header is too large")
    refused(ask(shared, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n"), 431, "The request header is too large")


@pytest.mark.parametrize("lines", [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: +5",
    b"Content-Length: 5x", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length : 5", b"X: a\r\n b", b"X: a\0b", b"X: a\rb", b"Host: y",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
])
def test_framing_that_servers_disagree_on(shared, alice, lines):
    data = (b"POST /api/v0/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + alice.token.encode() + b"\r\nContent-Type: application/json\r\n" + lines +
            b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    with Connection(shared.address) as connection:
        connection.send(data)
        answer = connection.answer()
        check(answer)
        refused(answer, 400, "Bad request")
        assert connection.closed() == b""  # nothing behind it is taken for another request


@pytest.mark.parametrize("coding", [b"xchunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"gzip"])
def test_transfer_codings_that_nobody_speaks(shared, alice, coding):
    data = b"POST /api/v0/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + alice.token.encode() + b"\r\nTransfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
    refused(ask(shared, data), 501, "Not implemented")


@pytest.mark.parametrize("chunk", [b"0x5\r\nhello", b"+5\r\nhello", b"ffffffffffffffff1\r\nhello", b"-1\r\n", b"\r\nhello", b"g\r\n", b"5\r\nhelloX"])
def test_broken_chunks(shared, alice, chunk):
    data = (b"POST /api/v0/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + alice.token.encode() +
            b"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\n0\r\n\r\n")
    refused(ask(shared, data), 400, "Bad request")


@pytest.mark.parametrize("line", [b"get /healthz HTTP/1.1", b"GET /healthz HTTP/2.0", b"GET /healthz HTTP/x", b"GET /healthz FTP/1.1", b"\xff\xfe / HTTP/1.1", b"GET /health\0z HTTP/1.1",
                                  b"GET healthz HTTP/1.1", b"/healthz"])
def test_request_lines_that_are_none(shared, line):
    answer = ask(shared, line + b"\r\nHost: x\r\n\r\n")
    assert 400 <= answer.status < 600 and answer.status not in (500, 502, 503, 504)


def test_no_host(shared):
    refused(ask(shared, b"GET /healthz HTTP/1.1\r\n\r\n"), 400, "Bad request")
    assert ask(shared, b"GET /healthz HTTP/1.0\r\n\r\n").status == 200


def test_absolute_form(shared):
    assert ask(shared, b"GET http://example.org/healthz HTTP/1.1\r\nHost: example.org\r\n\r\n").status == 200


def test_connect_and_trace(shared):
    refused(ask(shared, b"TRACE /api/v0/feed HTTP/1.1\r\nHost: x\r\n\r\n"), 405, "Method not allowed")
    refused(ask(shared, b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, "Bad request")


def test_http_0_9_gets_no_answer_of_a_service(shared):
    with Connection(shared.address) as connection:
        connection.send(b"GET /api/v0/feed\r\n")
        assert b'"caption"' not in connection.closed()


def test_pipelining(shared):
    answers = ask(shared, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /api/v0/feed?limit=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 10, answers=30)
    assert [answer.status for answer in answers] == [200, 200, 404] * 10


def test_a_client_that_goes_away_costs_nothing(shared, api):
    """Requests given up in the middle are taken back; the gateway counts none in flight afterwards."""
    for _ in range(50):
        with Connection(shared.address) as connection:
            connection.send(b"GET /api/v0/feed HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert api.get("/feed?limit=1").status_code == 200

    def in_flight():
        lines = [line for line in api.get("//metrics").text.splitlines() if "in_flight" in line and not line.startswith("#")]
        assert lines
        return sum(float(line.split()[-1]) for line in lines)

    wait_until(lambda: in_flight() == 0, 10, "nothing in flight")


def test_slow_clients_are_cut_off(shared, alice):
    """All at once, because each takes its time: a header that drips, one that never ends, a body that stalls, one that
    drips. None of them holds a connection for long, and who is told anything is told in our words."""
    head = (f"POST /api/v0/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token}\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n").encode()
    drips, stalls = [Connection(shared.address, 60) for _ in range(2)], [Connection(shared.address, 60) for _ in range(2)]
    started = time.monotonic()
    drips[0].send(b"GET /healthz HTTP/1.1\r\nX: ")
    drips[1].send(head)
    stalls[0].send(b"GET /healthz HTTP/1.1\r\n")
    stalls[1].send(head + b'{"caption":')
    answers = {}
    try:
        def all_ended():
            for connection in drips:
                if connection not in answers:
                    try:
                        connection.send(b" ")
                    except OSError:
                        pass
            for connection in drips + stalls:
                if connection in answers:
                    continue
                connection.socket.setblocking(False)
                try:
                    data = connection.socket.recv(65536)
                    connection.pending += data
                    if data == b"":
                        answers[connection] = connection.pending
                except BlockingIOError:
                    pass
                except OSError:
                    answers[connection] = connection.pending
            return len(answers) == 4

        wait_until(all_ended, 40, "the end of all slow connections")
        assert time.monotonic() - started < 30
        for connection in (drips[1], stalls[1]):  # the reset that follows may overtake the answer
            if answers[connection]:
                assert b" 408 " in answers[connection].split(b"\r\n")[0]
                assert json.loads(answers[connection].rpartition(b"\r\n\r\n")[2]) == {"code": 408, "message": "The request did not arrive in time"}
    finally:
        for connection in drips + stalls:
            connection.socket.close()


# ---- what operators ask ----

def test_health_and_readiness(api):
    assert api.get("//healthz").json() == {"status": "live"}
    assert api.get("//readyz").json() == {"status": "ready"}


def test_metrics(api):
    api.get("/feed?limit=1")
    response = api.get("//metrics")
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/plain; version=0.0.4")
    names_seen = set()
    for line in response.text.splitlines():
        if line.startswith("# TYPE "):
            names_seen.add(line.split()[2])
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            float(value)
            assert name.split("{")[0].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") in names_seen or name.split("{")[0] in names_seen, line
    before = request_count(response.text)
    for _ in range(5):
        api.get("/feed?limit=1")
    assert request_count(api.get("//metrics").text) >= before + 5


def request_count(metrics):
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines()
               if line.startswith("pixbus_") and "requests_total" in line and '"/api/v0/feed"' in line)
