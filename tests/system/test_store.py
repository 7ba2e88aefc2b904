"""pixbus-store alone, as boto3, the AWS CLI and bare HTTP see it: no broker runs, so every event stays on disk."""

import base64
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import boto3
import botocore.config
import botocore.exceptions
import httpx
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ.get("PIXBUS_BUILD", ROOT / "build/dev")) / "bin"
KEY, SECRET = "AKIDPIXBUSSTORETEST1", "a-secret-that-only-this-test-knows"
MEDIA, THUMBNAILS = "pixbus-media", "pixbus-thumbnails"
LIMIT = 20 * 1024 * 1024


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


class Store:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        environment = {
            **os.environ,
            "PIXBUS_VAR": str(self.directory / "var"),
            "PIXBUS_STORE_LISTEN": f"127.0.0.1:{self.port}",
            "PIXBUS_IMAGE_BYTES_MAX": str(LIMIT),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_MEDIA_BUCKET": MEDIA,
            "AWS_THUMBNAILS_BUCKET": THUMBNAILS,
        }
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen([BINARIES / "pixbus-store"], env=environment, cwd=self.directory, stdout=self.log, stderr=self.log)
        wait_for(self.lives)

    def lives(self):
        assert self.process.poll() is None, (self.directory / "log").read_text()
        try:
            return httpx.get(self.url + "/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def worker(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def kill(self):
        """-9, the worker first: it must not get the time to drain."""
        os.kill(self.worker(), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not self.listens())

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self.log.close()

    def events(self):
        found = []
        for file in sorted((self.directory / "var/store/events/new").iterdir()):
            record = json.loads(file.read_text().splitlines()[0])["Records"][0]
            found.append((record["eventName"], urllib.parse.unquote_plus(record["s3"]["object"]["key"]), record["s3"]["object"]))
        return found

    def unfinished(self):
        return list((self.directory / "var/store/work").glob("*/u-*"))

    def client(self, secret=SECRET, key=KEY, **options):
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret,
                            config=botocore.config.Config(signature_version="s3v4", retries={"max_attempts": 1},
                                                          s3={"addressing_style": "path"}, **options))

    def presign(self, method, key, bucket=MEDIA, expires=300, **parameters):
        return self.client().generate_presigned_url(method, {"Bucket": bucket, "Key": key, **parameters}, ExpiresIn=expires)


@pytest.fixture(scope="module")
def store():
    with tempfile.TemporaryDirectory(prefix="pixbus-store-") as directory:
        os.chmod(directory, 0o755)
        store = Store(directory)
        store.start()
        yield store
        store.stop()


@pytest.fixture(scope="module")
def s3(store):
    return store.client()


def code_of(error):
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def assert_error(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/xml"
    assert f"<Code>{code}</Code>" in answer.text
    assert answer.headers["x-amz-request-id"]


def test_put_get_head_delete(store, s3):
    body = random.randbytes(300_000)
    put = s3.put_object(Bucket=MEDIA, Key="a b+c/ü&.jpg", Body=body, ContentType="image/jpeg", CacheControl="no-cache", Metadata={"who": "me"})
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=MEDIA, Key="a b+c/ü&.jpg")
    assert got["Body"].read() == body
    assert (got["ContentType"], got["CacheControl"], got["Metadata"], got["ETag"]) == ("image/jpeg", "no-cache", {"who": "me"}, put["ETag"])
    head = s3.head_object(Bucket=MEDIA, Key="a b+c/ü&.jpg")
    assert (head["ContentLength"], head["AcceptRanges"]) == (len(body), "bytes")
    for _ in range(2):
        assert s3.delete_object(Bucket=MEDIA, Key="a b+c/ü&.jpg")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.get_object(Bucket=MEDIA, Key="a b+c/ü&.jpg")
    assert code_of(error) == ("NoSuchKey", 404)
    mine = [event for event in store.events() if event[1] == "a b+c/ü&.jpg"]
    assert [event[0] for event in mine] == ["ObjectCreated:Put", "ObjectRemoved:Delete"]
    assert mine[0][2]["key"] == "a+b%2Bc/%C3%BC%26.jpg"
    assert (mine[0][2]["size"], mine[0][2]["eTag"]) == (len(body), hashlib.md5(body).hexdigest())
    assert len(mine[0][2]["sequencer"]) == 16 and mine[0][2]["sequencer"] < mine[1][2]["sequencer"]


def test_empty_and_odd_keys(s3):
    for key in ["empty", "../up", "dot/./x", "a%2Fb", "x" * 1024, "ü" * 500, "trailing/", ".hidden", "new\nline"]:
        s3.put_object(Bucket=MEDIA, Key=key, Body=key.encode()[:700] if key != "empty" else b"")
        assert s3.get_object(Bucket=MEDIA, Key=key)["Body"].read() == (key.encode()[:700] if key != "empty" else b"")
        s3.delete_object(Bucket=MEDIA, Key=key)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.put_object(Bucket=MEDIA, Key="x" * 1025, Body=b"")
    assert code_of(error) == ("KeyTooLongError", 400)


@pytest.mark.parametrize("header, status, expected", [
    ("bytes=0-0", 206, slice(0, 1)), ("bytes=10-19", 206, slice(10, 20)), ("bytes=990-", 206, slice(990, None)),
    ("bytes=-5", 206, slice(-5, None)), ("bytes=-5000", 206, slice(0, None)), ("bytes=900-5000", 206, slice(900, None)),
    ("bytes=1000-", 416, None), ("bytes=-0", 416, None), ("bytes=5-4", 200, slice(0, None)), ("bytes=0-1,3-4", 200, slice(0, None)),
    ("lines=0-1", 200, slice(0, None)), ("bytes=99999999999999999999-", 200, slice(0, None)),
])
def test_ranges(store, s3, header, status, expected):
    body = bytes(i % 251 for i in range(1000))
    s3.put_object(Bucket=MEDIA, Key="range", Body=body)
    answer = httpx.get(store.presign("get_object", "range"), headers={"Range": header})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == body[expected]
    else:
        assert_error(answer, 416, "InvalidRange")
        assert answer.headers["content-range"] == "bytes */1000"
    if status == 206:
        start, end, _ = expected.indices(1000)
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/1000"


def test_conditions(store, s3):
    etag = s3.put_object(Bucket=MEDIA, Key="condition", Body=b"1")["ETag"]
    url = store.presign("get_object", "condition")
    first = httpx.get(url)
    for headers, status in [({"If-None-Match": etag}, 304), ({"If-None-Match": '"x"'}, 200), ({"If-Match": etag}, 200), ({"If-Match": '"x"'}, 412),
                            ({"If-Modified-Since": first.headers["last-modified"]}, 304), ({"If-None-Match": f'"a", W/{etag}'}, 304),
                            ({"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 412)]:
        answer = httpx.get(url, headers=headers)
        assert answer.status_code == status, headers
        if status == 304:
            assert answer.headers["etag"] == etag and not answer.content
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.put_object(Bucket=MEDIA, Key="condition", Body=b"2", IfNoneMatch="*")
    assert code_of(error) == ("PreconditionFailed", 412)
    assert httpx.get(url).content == b"1"


def test_one_of_many_wins(store):
    url = store.presign("put_object", "race", IfNoneMatch="*")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda n: httpx.put(url, content=b"%d" % n * 5000, headers={"If-None-Match": "*"}).status_code, range(16)))
    assert sorted(statuses) == [200] + [412] * 15
    assert len([event for event in store.events() if event[1] == "race"]) == 1


def test_signatures(store, s3):
    url = store.presign("put_object", "signed")
    assert httpx.put(url, content=b"x").status_code == 200
    assert_error(httpx.put(url.replace("/signed?", "/other?"), content=b"x"), 403, "SignatureDoesNotMatch")
    assert_error(httpx.get(url), 403, "SignatureDoesNotMatch")
    assert_error(httpx.delete(url), 403, "SignatureDoesNotMatch")
    tampered = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert_error(httpx.put(tampered, content=b"x"), 403, "SignatureDoesNotMatch")
    assert_error(httpx.put(url.replace("X-Amz-Expires=300", "X-Amz-Expires=301"), content=b"x"), 403, "SignatureDoesNotMatch")
    assert httpx.put(url.split("&X-Amz-Signature=")[0], content=b"x").status_code == 403
    assert_error(httpx.put(url.split("?")[0], content=b"x"), 403, "AccessDenied")
    assert_error(httpx.get(store.url + f"/{MEDIA}/signed"), 403, "AccessDenied")
    short = store.presign("get_object", "signed", expires=1)
    wait_for(lambda: httpx.get(short).status_code == 403)
    assert_error(httpx.get(short), 403, "AccessDenied")
    for client, code in [(store.client(secret="wrong"), "SignatureDoesNotMatch"), (store.client(key="AKIDOTHER"), "InvalidAccessKeyId")]:
        with pytest.raises(botocore.exceptions.ClientError) as error:
            client.put_object(Bucket=MEDIA, Key="x", Body=b"")
        assert code_of(error) == (code, 403)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.get_object(Bucket="nobodys", Key="x")
    assert code_of(error) == ("NoSuchBucket", 404)


def test_signed_headers(store):
    url = store.presign("put_object", "headers", ContentType="image/png", ContentLength=3, IfNoneMatch="*")
    good = {"Content-Type": "image/png", "If-None-Match": "*"}
    for headers, body in [({**good, "Content-Type": "image/gif"}, b"abc"), ({"If-None-Match": "*"}, b"abc"), ({"Content-Type": "image/png"}, b"abc"), (good, b"abcd")]:
        assert_error(httpx.put(url, content=body, headers=headers), 403, "SignatureDoesNotMatch")
    assert httpx.put(url, content=b"abc", headers=good).status_code == 200
    assert_error(httpx.put(url, content=b"abc", headers=good), 412, "PreconditionFailed")


def test_checksums(store, s3):
    url = store.presign("put_object", "sum")
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert_error(httpx.put(url, content=b"this", headers={"Content-MD5": wrong}), 400, "BadDigest")
    assert_error(httpx.put(url, content=b"this", headers={"Content-MD5": "nonsense"}), 400, "InvalidDigest")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.put_object(Bucket=MEDIA, Key="sum", Body=b"this", ChecksumSHA256=base64.b64encode(hashlib.sha256(b"other").digest()).decode())
    assert code_of(error) == ("BadDigest", 400)
    s3.put_object(Bucket=MEDIA, Key="sum", Body=b"this", ChecksumAlgorithm="CRC32")
    assert not store.unfinished()


def test_refusals(store):
    url = store.presign("put_object", "refused")
    assert_error(httpx.put(url, content=iter([b"x"])), 411, "MissingContentLength")
    host = url.split("?")[0]
    assert_error(httpx.request("FOO", host), 405, "MethodNotAllowed")
    assert_error(httpx.get(store.url + "/%zz"), 400, "BadRequest")
    target = url[len(store.url):]
    with socket.create_connection(("127.0.0.1", store.port)) as connection:  # refused before a byte of the body came
        connection.sendall(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{store.port}\r\nContent-Length: {LIMIT + 1}\r\nExpect: 100-continue\r\n\r\n".encode())
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"EntityTooLarge" in answer


def test_cors(store, s3):
    origin = {"Origin": "https://app.example"}
    preflight = httpx.options(f"{store.url}/{MEDIA}/x", headers={**origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"})
    assert preflight.status_code == 200 and preflight.headers["access-control-allow-origin"] == "*"
    assert "PUT" in preflight.headers["access-control-allow-methods"] and preflight.headers["access-control-allow-headers"] == "content-type"
    put = httpx.put(store.presign("put_object", "cors"), content=b"x", headers=origin)
    assert put.headers["access-control-allow-origin"] == "*" and "ETag" in put.headers["access-control-expose-headers"]
    refused = httpx.get(f"{store.url}/{MEDIA}/x", headers=origin)
    assert refused.status_code == 403 and refused.headers["access-control-allow-origin"] == "*"


def test_public_thumbnails(store, s3):
    s3.put_object(Bucket=THUMBNAILS, Key="t", Body=b"thumb", ContentType="image/jpeg")
    answer = httpx.get(f"{store.url}/{THUMBNAILS}/t")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"thumb", "image/jpeg")
    assert answer.headers["cache-control"].startswith("public")
    assert httpx.head(f"{store.url}/{THUMBNAILS}/t").status_code == 200
    assert_error(httpx.get(f"{store.url}/{THUMBNAILS}/none"), 404, "NoSuchKey")
    for answer in [httpx.put(f"{store.url}/{THUMBNAILS}/t", content=b"x"), httpx.delete(f"{store.url}/{THUMBNAILS}/t"), httpx.get(f"{store.url}/{THUMBNAILS}?list-type=2")]:
        assert_error(answer, 403, "AccessDenied")
    assert not [event for event in store.events() if event[1] == "t"]


def test_listing(s3):
    keys = sorted(f"list/{i % 3}/{i:03d}" for i in range(50)) + ["list/z" + "y" * 600]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=THUMBNAILS, Key=key, Body=key.encode()), keys))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=THUMBNAILS, Prefix="list/", PaginationConfig={"PageSize": 7})
    found = [item for page in pages for item in page.get("Contents", [])]
    assert [item["Key"] for item in found] == keys
    assert found[0]["Size"] == len(keys[0])
    page = s3.list_objects_v2(Bucket=THUMBNAILS, Prefix="list/", Delimiter="/")
    assert [prefix["Prefix"] for prefix in page["CommonPrefixes"]] == ["list/0/", "list/1/", "list/2/"]
    assert [item["Key"] for item in page["Contents"]] == [keys[-1]]
    assert s3.list_objects_v2(Bucket=THUMBNAILS, Prefix="list/", MaxKeys=0)["KeyCount"] == 0
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == {MEDIA, THUMBNAILS}
    s3.head_bucket(Bucket=MEDIA)
    assert s3.get_bucket_location(Bucket=MEDIA)["LocationConstraint"] is None


def test_multipart(store, s3):
    parts, body = [], random.randbytes(11 * 1024 * 1024)
    upload = s3.create_multipart_upload(Bucket=MEDIA, Key="parts", ContentType="image/webp")["UploadId"]
    for number, start in enumerate(range(0, len(body), 5 * 1024 * 1024), 1):
        piece = body[start:start + 5 * 1024 * 1024]
        parts.append({"PartNumber": number, "ETag": s3.upload_part(Bucket=MEDIA, Key="parts", UploadId=upload, PartNumber=number, Body=piece)["ETag"]})
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.complete_multipart_upload(Bucket=MEDIA, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts[::-1]})
    assert code_of(error) == ("InvalidPartOrder", 400)
    done = s3.complete_multipart_upload(Bucket=MEDIA, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-3"')
    got = s3.get_object(Bucket=MEDIA, Key="parts")
    assert got["Body"].read() == body and got["ContentType"] == "image/webp"
    other = s3.create_multipart_upload(Bucket=MEDIA, Key="parts")["UploadId"]
    s3.abort_multipart_upload(Bucket=MEDIA, Key="parts", UploadId=other)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.upload_part(Bucket=MEDIA, Key="parts", UploadId=other, PartNumber=1, Body=b"")
    assert code_of(error) == ("NoSuchUpload", 404)


def test_aws_cli(store, tmp_path):
    program = shutil.which("aws", path=os.path.dirname(sys.executable)) or shutil.which("aws")
    assert program, "the AWS CLI is missing: pip install awscli"

    def aws(*arguments):
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": store.url}
        return subprocess.run([program, "s3", *arguments], env=environment, check=True, capture_output=True, text=True, timeout=60).stdout

    (tmp_path / "in").write_bytes(random.randbytes(9_000_000))  # in parts
    aws("cp", str(tmp_path / "in"), f"s3://{MEDIA}/cli/in")
    assert "9000000 cli/in" in aws("ls", "--recursive", f"s3://{MEDIA}/cli/")
    aws("cp", f"s3://{MEDIA}/cli/in", str(tmp_path / "out"))
    assert (tmp_path / "in").read_bytes() == (tmp_path / "out").read_bytes()
    aws("rm", "--recursive", f"s3://{MEDIA}/cli/")
    assert MEDIA in aws("ls")


def resident_kib(process):
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError


def test_memory_does_not_grow_with_size(store):
    url = store.presign("put_object", "large")
    body = random.randbytes(LIMIT)
    httpx.put(url, content=body[:1000])
    before = resident_kib(store.worker())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: httpx.put(url, content=body, timeout=60), range(8))} == {200}
    assert httpx.get(store.presign("get_object", "large")).content == body
    assert resident_kib(store.worker()) - before < 8 * 1024


def test_stalled_and_aborted_uploads(store):
    target = store.presign("put_object", "stalled")[len(store.url):]
    connections = [socket.create_connection(("127.0.0.1", store.port)) for _ in range(50)]
    for connection in connections:
        connection.sendall(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{store.port}\r\nContent-Length: 1000000\r\n\r\n".encode() + bytes(300_000))
    wait_for(lambda: len(store.unfinished()) == 50)
    began = time.monotonic()
    assert httpx.put(store.presign("put_object", "beside"), content=b"x").status_code == 200
    assert time.monotonic() - began < 2
    for connection in connections:
        connection.close()
    wait_for(lambda: not store.unfinished())
    assert httpx.get(store.presign("get_object", "stalled")).status_code == 404


@pytest.mark.parametrize("whom", ["worker", "all"])
def test_kill_loses_nothing(whom):
    with tempfile.TemporaryDirectory(prefix="pixbus-store-") as directory:
        os.chmod(directory, 0o755)
        store = Store(directory)
        store.start()
        acknowledged, attempted, deleted = {}, set(), set()
        killed = threading.Event()

        def work(thread):
            with httpx.Client(timeout=5) as http:
                for number in range(100000):
                    if killed.is_set():
                        return
                    key, body = f"{thread}-{number}", random.randbytes(random.choice([10, 2000, 200_000]))
                    attempted.add(key)
                    try:
                        if http.put(store.presign("put_object", key), content=body).status_code != 200:
                            return
                        if number % 5 != 4:
                            acknowledged[key] = body
                        else:
                            attempted.discard(key)
                            if http.delete(store.presign("delete_object", key)).status_code != 204:
                                return
                            deleted.add(key)
                    except httpx.TransportError:
                        return

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            running = [pool.submit(work, thread) for thread in range(6)]
            wait_for(lambda: len(acknowledged) > 60, 30)
            if whom == "all":
                store.kill()
            else:
                os.kill(store.worker(), signal.SIGKILL)
            killed.set()
            for future in running:
                future.result()
        if whom == "all":
            store.start()
        else:
            wait_for(store.lives)
        created = {event[1] for event in store.events() if event[0] == "ObjectCreated:Put"}
        removed = {event[1] for event in store.events() if event[0] == "ObjectRemoved:Delete"}
        for key, body in acknowledged.items():
            assert httpx.get(store.presign("get_object", key)).content == body
        assert acknowledged.keys() <= created and deleted <= removed
        for key in attempted - acknowledged.keys():  # whole with its event, or not there at all
            assert httpx.get(store.presign("get_object", key)).status_code == 404 or key in created
        assert not store.unfinished()
        store.stop()


def test_drain_finishes_uploads():
    with tempfile.TemporaryDirectory(prefix="pixbus-store-") as directory:
        os.chmod(directory, 0o755)
        store = Store(directory)
        store.start()
        target = store.presign("put_object", "slow")[len(store.url):]
        with socket.create_connection(("127.0.0.1", store.port)) as connection:
            connection.sendall(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{store.port}\r\nContent-Length: 300000\r\n\r\n".encode() + bytes(200_000))
            wait_for(store.unfinished)
            store.process.terminate()
            wait_for(lambda: not store.listens())
            connection.sendall(bytes(100_000))
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert store.process.wait(10) == 0
        assert [event[1] for event in store.events()] == ["slow"]
        store.stop()
