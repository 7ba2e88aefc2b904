"""An installation on a database that is not ours: of the older system, brought up by hand, newer than we are."""

import os
import subprocess
from pathlib import Path

import pytest

import images
from api import Api, assert_error, check_item, image_id
from postgres import Postgres
from system import BUILD, System, run_sql, wait_until

DUMP = (Path(__file__).parent / "old_database.sql").read_text()
PASSWORDS = {"Ann@example.org": "correct horse battery staple", "ben@example.org": "pässwörd ✓", "cem@example.org": "short"}


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def adopted(postgres):
    url = postgres.database("old")
    run_sql(url, DUMP)
    with System(settings={"DATABASE_URL": url}) as system:
        yield system


@pytest.fixture(scope="module")
def adopted_api(adopted):
    with Api(adopted) as client:
        yield client


def login(api, email, password):
    return api.post("/users/auth/login", json={"email": email, "password": password})


def hash_of(system, email):
    return system.sql(f"select password_hash from users where email = '{email}'")[0][0]


def test_there_is_no_postgres_of_ours(adopted):
    assert "postgres" not in adopted.processes() and not (adopted.var / "postgres").exists()


def test_all_rows_are_served(adopted_api):
    items = [check_item(item) for item in adopted_api.get("/feed").json()]
    assert [(item["id"], item["caption"], item["updated_at"], item["created_at"]) for item in items] == [
        (9, "of nobody who is left", "2021-03-05T00:00:00.000000Z", "2021-03-05T00:00:00.000000Z"),
        (8, "ünïcödé 🌄", "2021-03-04T11:12:13.141516Z", "2021-03-04T11:12:13.141516Z"),
        (7, "", "2021-03-04T11:12:13.141516Z", "2021-03-03T10:00:00.500000Z"),
        (3, "the first that is left", "2021-03-02T10:00:00.000000Z", "2021-03-02T10:00:00.000000Z"),
    ]
    assert {item["state"] for item in items} == {"ready"}
    thumbnail = adopted_api.get("/feed/7/thumbnail").json()
    assert thumbnail["url"].endswith("/pixbus-thumbnails/picture%20of%20ben.jpg")


def test_old_passwords_sign_in_and_are_hashed_anew(adopted, adopted_api):
    for email, password in PASSWORDS.items():
        before = hash_of(adopted, email)
        assert "m=4096,t=3,p=1" in before
        assert_error(login(adopted_api, email, password + "x"), 401, "Unauthorized")
        assert hash_of(adopted, email) == before
        response = login(adopted_api, email.upper(), password)
        assert response.status_code == 200 and response.json()["user"] == email
        wait_until(lambda: hash_of(adopted, email) != before, 10, "a new hash")
        assert "$argon2id$v=19$m=19456,t=2,p=1$" in hash_of(adopted, email)
        assert login(adopted_api, email, password).status_code == 200


def test_accounts_without_a_usable_password(adopted_api):
    """None at all, and one that asks for 4 GiB."""
    for email in ("nopassword@example.org", "broken@example.org"):
        for password in ("correct horse battery staple", "null", "x"):
            assert_error(login(adopted_api, email, password), 401, "Unauthorized")
        assert adopted_api.get(f"/users/{email}").json()["email"] == email


def test_old_items_belong_to_who_posted_them(adopted_api):
    """Whatever way the address was typed then."""
    token = login(adopted_api, "ann@example.org", PASSWORDS["Ann@example.org"]).json()["token"]
    with adopted_api.as_user(token) as ann:
        assert {item["id"]: item["editable"] for item in ann.get("/feed?before=2022-01-01T00:00:00Z").json()} == {9: False, 8: True, 7: False, 3: True}
        assert ann.patch("/feed/3", json={"caption": "edited"}).json()["caption"] == "edited"
        assert ann.patch("/feed/7", json={"caption": "edited"}).status_code == 400
        assert ann.delete("/feed/8").json() == {"id": 8}
        item = ann.post_image(images.jpeg(100, 80))
        assert item["id"] == 13 and item["state"] == "ready" and len(image_id(item)) == 32


def test_it_registers_new_accounts_beside_the_old(adopted_api):
    with adopted_api.new_user() as user:
        assert user.new_item()["editable"] is True
    response = adopted_api.post("/users/auth", json={"email": "ANN@EXAMPLE.ORG", "password": "something else"})
    assert_error(response, 422, "User may already exist")


def test_the_older_systems_settings_are_understood(postgres, make_system):
    """POSTGRESS_…, with the double S, for a database that is empty."""
    postgres.database("by_parts")
    system = make_system(settings={"POSTGRESS_HOST": str(postgres.socket), "POSTGRESS_DATABASE": "by_parts", "POSTGRESS_USERNAME": "pixbus"})
    with Api(system) as api, api.new_user() as user:
        user.new_item()
    assert run_sql(postgres.url("by_parts"), "select count(*) from feeditems") == [["1"]]
    system.drain()
    system.check_log()


def pixbus(*arguments, **environment):
    return subprocess.run([BUILD / "bin/pixbus", *arguments], env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def test_migrate_by_hand(postgres):
    url = postgres.database("by_hand")
    first = pixbus("migrate", DATABASE_URL=url)
    assert first.returncode == 0 and "applied" in first.stdout
    again = pixbus("migrate", DATABASE_URL=url)
    assert again.returncode == 0 and "applied" not in again.stdout


def test_migrations_at_the_same_time(postgres):
    """They wait for each other: one does it, the others find it done."""
    url = postgres.database("at_once")
    run_sql(url, DUMP)
    running = [subprocess.Popen([BUILD / "bin/pixbus", "migrate"], env={"PATH": os.environ["PATH"], "DATABASE_URL": url}, stdout=subprocess.PIPE, text=True, cwd="/") for _ in range(6)]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 6
    assert sum("(tables) applied" in text for text in said) == 1, said


def test_a_newer_schema_is_refused(postgres):
    url = postgres.database("newer")
    assert pixbus("migrate", DATABASE_URL=url).returncode == 0
    table = run_sql(url, "select table_name from information_schema.tables where table_schema = 'public' and table_name like '%migration%'")
    ((name,),) = table
    run_sql(url, f"insert into {name} select (jsonb_populate_record(t, jsonb_build_object('version', 9999))).* from {name} t limit 1")
    refused = pixbus("migrate", DATABASE_URL=url)
    assert refused.returncode == 1 and "9999" in refused.stderr
    # Nor does anything come up on it.
    system = System(settings={"DATABASE_URL": url})
    with pytest.raises(AssertionError, match="ended with 1"):
        system.start()
    system.keep = False
    system.destroy()


def test_no_database_is_said_and_ends(postgres):
    missing = pixbus("migrate", DATABASE_URL=postgres.url("missing"))
    assert missing.returncode == 1 and "missing" in missing.stderr
    assert pixbus("migrate", DATABASE_URL="nonsense").returncode == 1
