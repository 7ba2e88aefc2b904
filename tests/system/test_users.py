"""Accounts: registration, login, verification, look-up, and what is wrong with them."""

import threading
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

import pytest

import tokens
from api import EMAIL, PASSWORD, TIME, assert_error


def fresh(name="user"):
    return f"{name}.{uuid.uuid4().hex[:12]}@example.org"


def register(api, email, password=PASSWORD):
    return api.post("/users/auth", json={"email": email, "password": password})


def login(api, email, password=PASSWORD):
    return api.post("/users/auth/login", json={"email": email, "password": password})


def test_registration_answers_a_token_and_the_email(api):
    email = fresh()
    response = register(api, email)
    assert response.status_code == 201
    assert list(response.json()) == ["token", "user"]
    assert response.json()["user"] == email
    with api.as_user(response.json()["token"]) as user:
        assert user.get("/users/auth/verification").json() == {"auth": True, "message": "Authenticated"}


def test_login_answers_another_token(api):
    email = fresh()
    registered = register(api, email).json()
    response = login(api, email)
    assert response.status_code == 200
    assert list(response.json()) == ["auth", "token", "user"]
    assert response.json()["auth"] is True and response.json()["user"] == email
    assert response.json()["token"] != registered["token"]
    with api.as_user(response.json()["token"]) as user:
        response = user.get("/users/auth/verification")
        assert (response.status_code, response.json()) == (200, {"auth": True, "message": "Authenticated"})


def test_tokens_hold_nothing_secret(api):
    email = fresh()
    header, claims = tokens.decode(register(api, email).json()["token"])
    assert header["alg"] == "HS256"
    assert set(claims) == {"sub", "uid", "iat", "exp", "jti", "iss", "aud", "kind"}
    assert claims["sub"] == email and claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_look_up(api):
    email = fresh("Look.Up")
    register(api, email)
    response = api.get(f"/users/{email.lower()}")
    assert response.status_code == 200
    user = response.json()
    assert list(user) == ["email", "created_at"] and user["email"] == email
    assert TIME.fullmatch(user["created_at"])
    age = datetime.now(timezone.utc) - datetime.fromisoformat(user["created_at"])
    assert -5 < age.total_seconds() < 60
    assert api.get(f"/users/{email.replace('@', '%40')}").json() == user


@pytest.mark.parametrize("email", ["nobody@example.org", "no-address", "%20", "a" * 300, "%E2%82%AC@example.org", "'; drop table users; --"])
def test_look_up_of_nobody(api, email):
    assert_error(api.get(f"/users/{email}"), 404, "User not found")


def test_look_up_of_what_is_no_text(api):
    for path in ("/users/%00", "/users/a%00b@example.org", "/users/%zz"):
        assert_error(api.get(path), 400, "Bad request")
    assert_error(api.get("/users/%ff@example.org"), 404, "User not found")


def test_an_email_is_registered_once_in_whatever_case(api):
    email = fresh("Some.One")
    assert register(api, email).status_code == 201
    for again in (email, email.lower(), email.upper()):
        assert_error(register(api, again, "another password"), 422, "User may already exist")
    for spelling in (email, email.lower(), email.upper()):
        response = login(api, spelling)
        assert response.status_code == 200 and response.json()["user"] == email
    assert_error(login(api, email, "another password"), 401, "Unauthorized")


@pytest.mark.parametrize("path", ["/users/auth", "/users/auth/login"])
@pytest.mark.parametrize("body, message", [
    ({}, EMAIL),
    ({"password": PASSWORD}, EMAIL),
    ({"email": None, "password": PASSWORD}, EMAIL),
    ({"email": "", "password": PASSWORD}, EMAIL),
    ({"email": 7, "password": PASSWORD}, EMAIL),
    ({"email": ["a@b.org"], "password": PASSWORD}, EMAIL),
    ({"email": {"a": "b"}, "password": PASSWORD}, EMAIL),
    ({"email": "no-at.example.org", "password": PASSWORD}, EMAIL),
    ({"email": "@example.org", "password": PASSWORD}, EMAIL),
    ({"email": "a@", "password": PASSWORD}, EMAIL),
    ({"email": "a@b@example.org", "password": PASSWORD}, EMAIL),
    ({"email": "a b@example.org", "password": PASSWORD}, EMAIL),
    ({"email": "a@exam\nple.org", "password": PASSWORD}, EMAIL),
    ({"email": "a@example..org", "password": PASSWORD}, EMAIL),
    ({"email": "a@-example.org", "password": PASSWORD}, EMAIL),
    ({"email": "a\u202e@example.org", "password": PASSWORD}, EMAIL),
    ({"email": "a" * 250 + "@example.org", "password": PASSWORD}, EMAIL),
    ({"email": "a@example.org"}, "Password is required"),
    ({"email": "a@example.org", "password": None}, "Password is required"),
    ({"email": "a@example.org", "password": ""}, "Password is required"),
    ({"email": "a@example.org", "password": 12345678}, "Password is required"),
    ({"email": "a@example.org", "password": [PASSWORD]}, "Password is required"),
    ({"email": "a@example.org", "password": "x" * 1025}, "Password is required"),
])
def test_credentials_that_are_none(api, path, body, message):
    assert_error(api.post(path, json=body), 400, message)


def test_the_length_of_a_new_password(api):
    """In bytes, and every one of them counts."""
    assert_error(register(api, fresh(), "1234567"), 400, "Password is too short: it must have at least 8 bytes")
    for password in ("12345678", "ééöö", "x" * 1024, "  blanks  ", "\N{PILE OF POO}\u202e'\"\\"):
        email = fresh()
        assert register(api, email, password).status_code == 201, password
        assert login(api, email, password).status_code == 200
        assert_error(login(api, email, password[:-1]), 401, "Unauthorized")
    # A login does not tell how long a password may be.
    assert_error(login(api, fresh(), "short"), 401, "Unauthorized")


def test_a_nul_in_a_text_is_refused(api):
    response = api.post("/users/auth", content=b'{"email":"nul\\u0000@example.org","password":"12345678"}',
                        headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    response = api.post("/users/auth", content=b'{"email":"nul@example.org","password":"1234\\u00005678"}',
                        headers={"Content-Type": "application/json"})
    assert response.status_code == 400


def test_wrong_password_and_unknown_user_answer_alike(api):
    email = fresh()
    register(api, email)
    wrong, unknown = login(api, email, "wrong password"), login(api, fresh(), "wrong password")
    for response in (wrong, unknown):
        assert_error(response, 401, "Unauthorized")
    volatile = {"x-request-id", "date"}
    assert {k: v for k, v in wrong.headers.items() if k not in volatile} == {k: v for k, v in unknown.headers.items() if k not in volatile}


def cpu_ns(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def test_wrong_password_and_unknown_user_take_as_long(api, shared):
    """In processor time of the users actor, which a busy machine does not stretch: if no hash were computed for somebody
    unknown it would be about none."""
    email = fresh()
    register(api, email)
    pid = shared.process("users").pid

    def cost(who):
        before = cpu_ns(pid)
        for _ in range(10):
            assert login(api, who, "wrong password").status_code == 401
        return cpu_ns(pid) - before

    known, unknown = cost(email), cost(fresh())
    assert 0.5 < unknown / known < 2


def test_registrations_of_one_email_at_the_same_time(api):
    """Exactly one of them wins, also when they are typed in different cases."""
    for _ in range(3):
        email, answers = fresh("race"), []
        spellings = [email, email.upper(), email.title(), email]
        barrier = threading.Barrier(len(spellings))

        def race(spelling):
            barrier.wait()
            answers.append((register(api, spelling, PASSWORD).status_code, spelling))

        threads = [threading.Thread(target=race, args=(spelling,)) for spelling in spellings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _ in answers) == [201, 422, 422, 422], answers
        winner = next(spelling for status, spelling in answers if status == 201)
        assert login(api, email).json()["user"] == winner


def test_verification(api, alice):
    assert alice.get("/users/auth/verification").json() == {"auth": True, "message": "Authenticated"}
    assert_error(api.get("/users/auth/verification"), 401, "No authorization headers")
    assert_error(api.get("/users/auth/verification", headers={"Authorization": "Bearer x"}), 401, "Malformed token")
    assert_error(alice.get("/users/auth/verification", headers={"Authorization": f"Bearer {alice.token[:-4]}AAAA"}), 401, "Failed to authenticate")


def test_verification_of_an_account_that_is_gone(api, shared):
    with api.new_user() as user:
        assert user.get("/users/auth/verification").status_code == 200
        shared.sql(f"delete from users where email = '{user.email}'")
        assert_error(user.get("/users/auth/verification"), 401, "Failed to authenticate")
