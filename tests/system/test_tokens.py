"""What the gateway takes for a bearer token, and above all what it does not."""

import hashlib
import json
import time

import pytest

import tokens
from api import assert_error
from raw import exchange
from system import wait_until

MALFORMED = "Malformed token"
REJECTED = "Failed to authenticate"


@pytest.fixture(scope="module")
def claims(alice):
    """Those of a token that alice was given."""
    return tokens.decode(alice.token)[1]


def verify(api, token):
    return api.get("/users/auth/verification", headers={"Authorization": f"Bearer {token}"})


def test_one_made_by_hand_is_as_good(api, claims):
    """So whatever is refused below is refused for its difference."""
    assert verify(api, tokens.sign(claims)).status_code == 200
    assert verify(api, tokens.sign(tokens.claims(claims["sub"], claims["uid"]))).status_code == 200
    assert verify(api, tokens.sign(claims, header={"alg": "HS256"})).status_code == 200


@pytest.mark.parametrize("header, digest", [
    ({"alg": "none"}, hashlib.sha256), ({"alg": "None", "typ": "JWT"}, hashlib.sha256), ({"alg": "hs256"}, hashlib.sha256),
    ({"alg": "HS384", "typ": "JWT"}, hashlib.sha384), ({"alg": "HS512", "typ": "JWT"}, hashlib.sha512),
    ({"alg": "HS384", "typ": "JWT"}, hashlib.sha256), ({"alg": "RS256", "typ": "JWT"}, hashlib.sha256),
    ({"alg": "ES256", "typ": "JWT"}, hashlib.sha256), ({"alg": ""}, hashlib.sha256), ({"alg": None}, hashlib.sha256),
    ({"alg": ["HS256"]}, hashlib.sha256), ({"typ": "JWT"}, hashlib.sha256), ({}, hashlib.sha256),
    ({"alg": "HS256", "kid": "../../../dev/null"}, hashlib.sha512),
])
def test_the_algorithm_is_ours_to_choose(api, claims, header, digest):
    assert_error(verify(api, tokens.sign(claims, header, digest=digest)), 401, REJECTED)


def test_no_signature_or_another(api, claims):
    head, payload, signature = tokens.sign(claims).split(".")
    for bad in ("", signature[:-2], signature + "AAAA", tokens.encode(bytes(32)), signature[::-1]):
        response = verify(api, f"{head}.{payload}.{bad}")
        assert response.status_code == 401, bad
        assert response.json()["message"] in (REJECTED, MALFORMED)
    unsigned = tokens.part({"alg": "none", "typ": "JWT"})
    assert_error(verify(api, f"{unsigned}.{payload}."), 401, REJECTED)
    assert_error(verify(api, tokens.sign(claims, secret="another key that is as long as the right one is")), 401, REJECTED)
    assert_error(verify(api, tokens.sign(claims, secret="")), 401, REJECTED)
    other = tokens.part({**claims, "uid": claims["uid"] + 1})
    assert_error(verify(api, f"{head}.{other}.{signature}"), 401, REJECTED)


@pytest.mark.parametrize("form", [
    lambda t: t + "=", lambda t: t + ".", lambda t: "." + t, lambda t: t + ".x", lambda t: t.replace(".", "..", 1),
    lambda t: t.replace(".", "", 1), lambda t: ".".join(t.split(".")[:2]), lambda t: t.replace(".", "=.", 1),
    lambda t: t[:-1] + "+", lambda t: t[:-1] + "/", lambda t: t[:-1] + "!", lambda t: t + " x", lambda t: "x" + " " + t,
    lambda t: "x", lambda t: "..", lambda t: "e30.e30.", lambda t: "e30.W10.AAAA", lambda t: "W10.e30.AAAA", lambda t: "x" * 2049,
    lambda t: "x" * 7000, lambda t: "\"" + t + "\"",
])
def test_what_is_no_token(api, claims, form):
    response = verify(api, form(tokens.sign(claims)))
    assert response.status_code == 401 and response.json()["message"] in (MALFORMED, REJECTED)
    assert response.headers["www-authenticate"] == 'Bearer realm="pixbus", error="invalid_token"'


def test_one_token_has_one_spelling(api, claims):
    """The last character of a signature of 32 bytes carries two bits that decode to nothing: they must be zero."""
    token = tokens.sign(claims)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(token[-1])
    assert at % 4 == 0 and verify(api, token).status_code == 200
    for other in range(at + 1, at + 4):
        assert_error(verify(api, token[:-1] + alphabet[other]), 401, MALFORMED)


NOW = int(time.time())


@pytest.mark.parametrize("change", [
    {"exp": None}, {"exp": NOW - 1}, {"exp": 0}, {"exp": -1}, {"exp": NOW + 600.5}, {"exp": str(NOW + 600)}, {"exp": True}, {"exp": [NOW + 600]},
    {"exp": NOW + 100 * 365 * 86400}, {"exp": 2**63}, {"exp": 1e300}, {"iat": None}, {"iat": "now"}, {"iat": NOW + 10**6}, {"nbf": NOW + 600},
    {"nbf": "x"}, {"nbf": 0.5}, {"iss": None}, {"iss": "other"}, {"iss": ["pixbus"]}, {"aud": None}, {"aud": "other"}, {"aud": ["pixbus", "other"]},
    {"kind": None}, {"kind": "refresh"}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 300}, {"jti": None}, {"jti": "x" * 100}, {"uid": None},
    {"uid": 0}, {"uid": -1}, {"uid": "1"}, {"uid": 1.5}, {"uid": 2**63},
])
def test_claims_that_do_not_hold(api, claims, change):
    # Issued long ago, so that an exp that is past is wrong for that and for nothing else.
    good = {**claims, "iat": NOW - 7200}
    assert verify(api, tokens.sign(good)).status_code == 200
    bad = {name: value for name, value in {**good, **change}.items() if value is not None}
    # A number that no machine holds makes the payload no JSON of ours at all.
    unreadable = 2**63 in change.values()
    assert_error(verify(api, tokens.sign(bad)), 401, MALFORMED if unreadable else REJECTED)


def test_an_old_nbf_is_fine(api, claims):
    assert verify(api, tokens.sign({**claims, "nbf": NOW - 600})).status_code == 200


def test_payloads_that_are_no_object(api):
    for payload in (b"", b"null", b"[]", b"7", b"\xff", b'{"exp":', b'{"exp":1}{"exp":2}', b'{"exp":1,"exp":2}', b"[" * 1000):
        response = verify(api, tokens.sign(payload))
        assert response.status_code == 401 and response.json()["message"] == MALFORMED, payload


def test_a_token_expires_also_while_it_is_remembered(api, claims):
    """The gateway remembers tokens that it has verified; not for longer than they are valid."""
    expires = int(time.time()) + 2
    token = tokens.sign({**claims, "exp": expires})
    assert verify(api, token).status_code == 200
    wait_until(lambda: time.time() >= expires, 5)
    assert_error(verify(api, token), 401, REJECTED)


def test_a_good_token_for_an_account_that_never_was(api):
    token = tokens.sign(tokens.claims("nobody@example.org", 2**31 - 1))
    assert_error(verify(api, token), 401, REJECTED)
    with api.as_user(token) as user:
        response = user.get("/feed")
        assert response.status_code == 200 and not any(item["editable"] for item in response.json())


def ask(shared, lines, path="/api/v0/users/auth/verification"):
    """With header lines that a client library would not send."""
    (answer,) = exchange(shared.address, f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    return answer.status, json.loads(answer.body)["message"]


def test_the_scheme(shared, alice):
    """RFC 9110: in any case, one blank or more behind it; blanks at the end of a line do not count."""
    for value in (f"bearer {alice.token}", f"BEARER {alice.token}", f"Bearer   {alice.token}", f"  Bearer {alice.token}  "):
        assert ask(shared, f"Authorization:{value}\r\n") == (200, "Authenticated")
    for value in (f"Bearer{alice.token}", "Bearer", "Bearer ", f"Basic {alice.token}", alice.token, "", "Bearer\t" + alice.token, f"Token {alice.token}",
                  f"Bearer token={alice.token}", f"Bearer, {alice.token}"):
        assert ask(shared, f"Authorization: {value}\r\n") == (401, MALFORMED), value


def test_two_headers_are_no_answer_to_who_it_is(shared, alice):
    """nginx refuses some of these itself, by its version."""
    line = f"Authorization: Bearer {alice.token}\r\n"
    for lines in (line + line, "Authorization: x\r\n" + line, line + "authorization: x\r\n"):
        for path in ("/api/v0/users/auth/verification", "/api/v0/feed", "/api/v0/feed/1"):
            assert ask(shared, lines, path) in ((401, MALFORMED), (400, "Bad request"))


def test_a_bad_token_is_refused_also_where_none_is_needed(api):
    """Or a client whose token has expired would take itself for signed in."""
    assert api.get("/feed").status_code == 200
    assert_error(api.get("/feed", headers={"Authorization": "Bearer x"}), 401, MALFORMED)
    # These do not look at who asks.
    assert api.get("/feed/thumbnails", headers={"Authorization": "Bearer x"}).status_code == 200


@pytest.mark.parametrize("method, path", [
    ("GET", "/users/auth/verification"), ("GET", "/feed/1"), ("POST", "/feed"), ("PATCH", "/feed/1"), ("DELETE", "/feed/1"),
    ("GET", "/feed/signed-url/0123456789abcdef0123456789abcdef"),
])
def test_nobody_may(api, method, path):
    body = {"json": {"caption": "x"}} if method in ("POST", "PATCH") else {}
    response = api.request(method, path, **body)
    assert_error(response, 401, "No authorization headers")
    assert response.headers["www-authenticate"] == 'Bearer realm="pixbus"'
    assert_error(api.request(method, path, headers={"Authorization": "Bearer no"}, **body), 401, MALFORMED)
