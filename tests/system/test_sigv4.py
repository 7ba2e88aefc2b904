"""Our Signature V4 against botocore's, over thousands of random requests."""

import random
import subprocess
from datetime import datetime, timezone
from urllib.parse import parse_qsl, quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from system import BUILD

ORACLE = BUILD / "tests/sigv4_oracle"
COUNT = 3000
CHARACTERS = "abcXYZ019-_.~ /+%&=?#@:;,!$'()*[]{}<>|\\^`\"\t\n\x01\x7füß€🌄\u202e"
NAMES = ["content-type", "content-length", "content-md5", "if-none-match", "range", "x-amz-acl", "x-amz-meta-a", "x-amz-meta-b", "x-amz-storage-class", "cache-control",
         "x-amz-checksum-sha256", "a", "z-z"]


def text(random_, least, most, characters=CHARACTERS):
    return "".join(random_.choice(characters) for _ in range(random_.randint(least, most)))


def hexed(value):
    return "-" if value is None else value.encode().hex()


def ask(credentials, lines):
    """The oracle's answer to each line."""
    region, access_key, secret_key, token = credentials
    first = "\t".join(hexed(value) for value in (region, access_key, secret_key, token))
    result = subprocess.run([ORACLE], input="\n".join([first, *lines]) + "\n", capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    answers = result.stdout.splitlines()
    assert len(answers) == len(lines)
    return answers


def make_credentials(random_, with_token):
    return (random_.choice(["us-east-1", "eu-central-1", "x"]), "AKIA" + text(random_, 1, 20, "ABCDEFGH0123456789"), text(random_, 1, 60, CHARACTERS.replace("\n", "")),
            text(random_, 1, 300, "abcABC019+/=") if with_token else None)


def headers_of(random_):
    return {name: text(random_, 0, 30, "abcXYZ019 ,;=/\"üß ") for name in random_.sample(NAMES, random_.randint(0, 6))}


@pytest.fixture(params=range(6))
def case(request, monkeypatch):
    """Random numbers of a seed, credentials, and a clock for botocore."""
    random_ = random.Random(request.param)
    credentials = make_credentials(random_, request.param % 2)
    moment = {}
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: datetime.fromtimestamp(moment["now"], timezone.utc))
    region, access_key, secret_key, token = credentials
    return random_, credentials, moment, Credentials(access_key, secret_key, token), region


def test_presigned_urls(case):
    random_, credentials, moment, keys, region = case
    lines, expected = [], []
    for _ in range(COUNT // 6):
        now, expires = random_.randint(0, 2**31 - 1), random_.choice([1, 300, 604800])
        method = random_.choice(["GET", "PUT", "HEAD", "DELETE"])
        endpoint = random_.choice(["http://127.0.0.1:9000", "https://s3.example.org", "http://store:8080", "https://[::1]:9000"])
        bucket, key = random_.choice(["media", "a.b-c", None]), text(random_, 1, 80)
        headers = headers_of(random_)
        path = (f"/{bucket}" if bucket else "") + "/" + quote(key, safe="/-_.~")
        moment["now"] = now
        request = AWSRequest(method, endpoint + path, headers=headers)
        botocore.auth.S3SigV4QueryAuth(keys, "s3", region, expires).add_auth(request)
        expected.append(request.url)
        lines.append("\t".join(["presign", str(now), str(expires), *map(hexed, (method, endpoint, bucket, key)), *(f"{hexed(n)}={hexed(v)}" for n, v in headers.items())]))
    for line, ours, theirs in zip(lines, ask(credentials, lines), expected):
        assert urlsplit(ours)[:3] == urlsplit(theirs)[:3], line
        pairs = [sorted(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)) for url in (ours, theirs)]
        assert pairs[0] == pairs[1], (line, ours, theirs)


def test_signed_headers(case):
    random_, credentials, moment, keys, region = case
    lines, expected = [], []
    for _ in range(COUNT // 6):
        now, method = random_.randint(0, 2**31 - 1), random_.choice(["GET", "PUT", "HEAD", "DELETE", "POST"])
        host = random_.choice(["127.0.0.1:9000", "s3.example.org"])
        path = "/" + quote(text(random_, 0, 60), safe="/-_.~")
        pairs = [(quote(text(random_, 1, 10), safe="-_.~"), quote(text(random_, 0, 10), safe="-_.~")) for _ in range(random_.randint(0, 5))]
        query = "&".join(f"{name}={value}" for name, value in pairs)
        payload = random_.choice([None, bytes(random_.randrange(256) for _ in range(32)).hex()])
        headers = {"host": host, **headers_of(random_)}
        moment["now"] = now
        request = AWSRequest(method, f"http://{host}{path}" + (f"?{query}" if query else ""), headers={name: value for name, value in headers.items() if name != "host"})
        signer = botocore.auth.S3SigV4Auth(keys, "s3", region)
        signer.payload = lambda _, payload=payload: payload or "UNSIGNED-PAYLOAD"
        signer.add_auth(request)
        expected.append(request.headers["Authorization"])
        lines.append("\t".join(["sign", str(now), *map(hexed, (method, path, query or None, payload)), *(f"{hexed(n)}={hexed(v)}" for n, v in headers.items())]))
    for line, ours, theirs in zip(lines, ask(credentials, lines), expected):
        assert parts(ours) == parts(theirs), line


def parts(authorization):
    scheme, _, rest = authorization.partition(" ")
    return scheme, dict(part.strip().split("=", 1) for part in rest.split(","))
