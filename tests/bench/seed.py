"""A feed as it may look after two years: 100,000 ready items of 500 people."""

import random
import subprocess

ITEMS = 100_000
USERS = 500
OWN_ITEMS = 20_000  # the first ones belong to the first user, who changes them

WORDS = ("the a my our this one two old new red blue grey bright quiet last first early late small great wild warm cold and of in on at "
         "over under behind near after before with without from to through morning evening night noon summer winter autumn spring "
         "light fog rain snow wind sun moon sky sea lake river harbour bridge street garden forest mountain valley field market "
         "station window kitchen table cat dog bird horse bee rose oak tulip bread coffee grandmother brother friend neighbour "
         "children bicycle train boat camera film portrait shadow colour walk run wait look found lost home again finally maybe "
         "München Zürich naïve café größer señora Kraków Ålesund 東京 夏 ☀️ 📷").split()


def email(number):
    return f"person{number}@example.org"


def caption(random_one):
    words = random_one.choices(WORDS, k=random_one.choice((3, 5, 8, 12, 20, 30)))
    return " ".join(words).capitalize() + random_one.choice((".", "", "!", " …"))


def lines():
    one = random.Random(1)  # the same feed every time
    for number in range(1, ITEMS + 1):
        owner = 1 if number <= OWN_ITEMS else one.randint(1, USERS)
        width, height = one.choice(((4032, 3024), (3024, 4032), (1920, 1080), (1080, 1350), (800, 600)))
        age_s = one.randint(3600, 2 * 365 * 86400)
        yield f"{number}\t{email(owner)}\t{one.getrandbits(128):032x}\t{caption(one)}\t{age_s}\t{width}\t{height}\n"


def seed(system):
    system.sql("insert into users (email, password_hash) select 'person' || n || '@example.org', null from "
               f"generate_series(1, {USERS}) n;")
    copy = """create temporary table seed (id int, created_by text, image_id text, caption text, age_s int, width int, height int);
\\copy seed from pstdin
insert into feeditems (id, created_by, image_id, caption, created_at, updated_at, state, width, height)
select id, created_by, image_id, caption, at, at, 'ready', width, height
from seed, lateral (select timestamp '2026-11-01' - age_s * interval '1 second' + (id % 1000000) * interval '1 microsecond' as at) t;
select setval(pg_get_serial_sequence('feeditems', 'id'), max(id)) from feeditems;
vacuum analyze;
checkpoint;
"""
    url = f"postgresql:///pixbus?host={system.var / 'run'}&user=pixbus"
    script = system.directory / "seed.sql"
    script.write_text(copy)
    process = subprocess.Popen(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", url, "-f", script],
                               stdin=subprocess.PIPE, text=True)
    for line in lines():
        process.stdin.write(line)
    process.stdin.close()
    if process.wait() != 0:
        raise SystemExit("the seed failed")
