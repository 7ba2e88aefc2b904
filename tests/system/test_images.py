"""The way of an image: uploaded, made a thumbnail of or rejected, deleted; and uploads that are not what was signed."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.config
import botocore.exceptions
import httpx
import pytest
from PIL import Image, ImageCms

import images
from api import assert_error, check_item, image_id
from raw import Connection
from system import SLOWER, wait_until

BOX = (300, 240)


@pytest.fixture(scope="module")
def s3(shared):
    """The store by an owner's keys."""
    secrets = shared.secrets()
    return boto3.client("s3", endpoint_url=shared.store_url, region_name="us-east-1", aws_access_key_id=secrets["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=secrets["AWS_SECRET_ACCESS_KEY"],
                        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def has_object(s3, bucket, key):
    try:
        s3.head_object(Bucket=bucket, Key=key)
        return True
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        return False


def thumbnail_of(api, item):
    """As anybody gets it: by the URL in the list of thumbnails."""
    listed = api.get(f"/feed/{item['id']}/thumbnail").json()
    response = httpx.get(listed["url"], trust_env=False)
    assert response.status_code == 200 and response.headers["content-type"] == "image/jpeg"
    image = Image.open(io.BytesIO(response.content))
    image.load()
    assert image.format == "JPEG" and image.mode == "RGB"
    assert image.size[0] <= BOX[0] and image.size[1] <= BOX[1]
    return image, response.content


def ready(alice, content):
    item = check_item(alice.post_image(content))
    assert item["state"] == "ready", item
    return item


def rejected(alice, content):
    item = check_item(alice.post_image(content))
    assert item["state"] == "rejected" and item["reject_reason"] and "width" not in item, item
    return item["reject_reason"]


def test_the_whole_way_of_a_photo(api, alice, shared, s3):
    item = alice.new_item("a photo")
    assert item["state"] == "pending" and "width" not in item
    content = images.jpeg(1200, 900)
    alice.upload(item, content)
    done = check_item(alice.settled(item["id"]))
    assert (done["state"], done["width"], done["height"]) == ("ready", 1200, 900)
    assert done["updated_at"] >= item["updated_at"] and done["created_at"] == item["created_at"]
    # The original comes back bit by bit, for everybody who has a URL of it.
    for url in (done["url"], api.get("/feed?limit=1").json()[0]["url"]):
        assert httpx.get(url, trust_env=False).content == content
    image, _ = thumbnail_of(api, item)
    assert image.size == (300, 225)
    images.check_corners(image)
    assert item["id"] in [one["id"] for one in api.get("/feed?state=ready").json()]
    # Its upload is complete: nothing may overwrite it any more.
    assert_error(alice.get(f"/feed/signed-url/{image_id(item)}"), 404, "Image not found")
    # And it goes with all that belongs to it.
    key = image_id(item)
    assert has_object(s3, "pixbus-media", key) and has_object(s3, "pixbus-thumbnails", key)
    assert alice.delete(f"/feed/{item['id']}").status_code == 200
    wait_until(lambda: not has_object(s3, "pixbus-media", key) and not has_object(s3, "pixbus-thumbnails", key), 20 * SLOWER, "the end of both objects")
    assert httpx.get(f"{shared.store_url}/pixbus-thumbnails/{key}", trust_env=False).status_code in (403, 404)


@pytest.mark.parametrize("size, expected", [
    ((300, 240), (300, 240)), ((299, 240), (299, 240)), ((50, 40), (50, 40)), ((1, 1), (1, 1)), ((3000, 2400), (300, 240)), ((3000, 100), (300, 10)),
    ((100, 2400), (10, 240)), ((600, 240), (300, 120)), ((300, 480), (150, 240)), ((5000, 2), (300, 1)), ((2, 5000), (1, 240)),
])
def test_the_box_of_a_thumbnail(api, alice, size, expected):
    """It fits, keeps its proportions, is never enlarged, and no side vanishes."""
    item = ready(alice, images.save(images.quarters(*size), "JPEG", quality=90))
    assert (item["width"], item["height"]) == size
    image, _ = thumbnail_of(api, item)
    assert all(abs(found - wanted) <= 1 for found, wanted in zip(image.size, expected)), image.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(api, alice, orientation):
    item = ready(alice, images.jpeg(600, 400, orientation))
    assert (item["width"], item["height"]) == (600, 400)
    image, content = thumbnail_of(api, item)
    assert image.size == (300, 200)
    images.check_corners(image)
    assert not image.getexif() and b"Exif" not in content and b"SECRET" not in content and "exif" not in image.info


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_orientations_that_are_none(api, alice, orientation):
    item = ready(alice, images.jpeg(600, 400, orientation))
    assert (item["width"], item["height"]) == (600, 400)
    images.check_corners(thumbnail_of(api, item)[0])


def test_metadata_and_profiles_are_gone(api, alice):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    item = ready(alice, images.jpeg(400, 300, 1, icc_profile=profile, comment=b"SECRET-COMMENT"))
    image, content = thumbnail_of(api, item)
    assert "icc_profile" not in image.info or image.info["icc_profile"] == profile
    assert b"SECRET" not in content


def test_colours_of_another_kind_become_srgb(api, alice):
    for mode, content in (("L", images.save(images.quarters(400, 300).convert("L"), "JPEG")), ("CMYK", images.save(images.quarters(400, 300).convert("CMYK"), "JPEG", quality=95)),
                          ("P", images.save(images.quarters(400, 300).convert("P", palette=Image.Palette.ADAPTIVE), "PNG")), ("1", images.save(Image.new("1", (400, 300), 1), "PNG")),
                          ("I;16", images.save(Image.new("I;16", (400, 300), 65535), "PNG"))):
        image, _ = thumbnail_of(api, ready(alice, content))
        assert image.mode == "RGB" and image.size == (300, 225), mode
        if mode == "P":
            images.check_corners(image)
        if mode in ("1", "I;16"):
            assert min(image.getpixel((150, 100))) > 250, mode


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("WebP", {"lossless": True}), ("WebP", {"quality": 95}), ("GIF", {}), ("JPEG", {"progressive": True})])
def test_kinds(api, alice, kind, options):
    item = ready(alice, images.save(images.quarters(640, 480), kind, **options))
    assert (item["width"], item["height"]) == (640, 480)
    image, _ = thumbnail_of(api, item)
    assert image.size == (300, 225)
    images.check_corners(image, 45)


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_transparency_is_on_white(api, alice, kind):
    picture = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    picture.paste((200, 30, 30, 255), (100, 0, 200, 100))
    image, _ = thumbnail_of(api, ready(alice, images.save(picture, kind, **({"lossless": True} if kind == "WebP" else {}))))
    assert min(image.getpixel((25, 50))) > 245
    assert image.getpixel((175, 50))[0] > 170 and image.getpixel((175, 50))[1] < 60


def test_the_first_frame_of_an_animation(api, alice):
    frames = [Image.new("RGB", (100, 80), colour) for colour in ((200, 30, 30), (30, 200, 30), (30, 30, 200))]
    for kind in ("GIF", "WebP"):
        content = images.save(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **({"lossless": True} if kind == "WebP" else {}))
        image, _ = thumbnail_of(api, ready(alice, content))
        assert image.size == (100, 80) and image.getpixel((50, 40))[0] > 170, kind


def archive():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("a.jpg", images.jpeg(50, 50))
    return out.getvalue()


@pytest.mark.parametrize("content, reason", [
    (b"", "The file is empty. JPEG, PNG, WebP and GIF images are accepted."),
    (b"x", "The file is of another kind. JPEG, PNG, WebP and GIF images are accepted."),
    (b"plain text", "of another kind"), (b"<html><script>alert(1)</script>", "of another kind"), (b"%PDF-1.7\n", "of another kind"), (archive(), "of another kind"),
    (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "of another kind"), (images.save(images.quarters(20, 20), "BMP"), "of another kind"),
    (images.save(images.quarters(20, 20), "TIFF"), "of another kind"), (images.save(images.quarters(20, 20), "PPM"), "of another kind"), (images.save(images.quarters(16, 16), "ICO"), "of another kind"),
    (b"\xff\xd8\xff", "JPEG file is damaged"), (b"\x89PNG\r\n\x1a\n", "PNG file is damaged"), (b"GIF89a", "GIF file is damaged"), (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP file is damaged"),
    (images.jpeg(800, 600)[:500], "JPEG file is damaged"), (images.jpeg(800, 600)[:5000], "JPEG file is damaged"),
    (images.save(images.quarters(800, 600).effect_spread(50), "PNG")[:-20000], "PNG file is damaged"),
    (images.save(images.quarters(800, 600).effect_spread(50), "WebP")[:3000], "WebP file is damaged"),
    (images.png_claiming(100000, 100000), "The image has 100000 x 100000 pixels; at most 100 million are accepted."),
    (images.jpeg_claiming(64250, 64250), "The image has 64250 x 64250 pixels; at most 100 million are accepted."), (images.png_claiming(1, 500000000), "PNG"),
], ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_what_is_no_image_is_rejected_and_says_why(alice, content, reason):
    said = rejected(alice, content)
    assert said == reason if reason.endswith(".") else reason in said or "pixels" in said and reason == "PNG", said


def test_a_rejected_item_has_no_thumbnail_and_can_be_deleted(api, alice, shared, s3):
    item = alice.post_image(b"nothing of an image")
    key = image_id(item)
    assert item["state"] == "rejected" and not has_object(s3, "pixbus-thumbnails", key)
    assert item["id"] not in [one["id"] for one in api.get("/feed?state=ready&limit=100").json()]
    assert alice.delete(f"/feed/{item['id']}").status_code == 200
    wait_until(lambda: not has_object(s3, "pixbus-media", key), 20 * SLOWER, "the end of the object")


def test_a_hundred_at_once(api, alice):
    """Mixed ones; each ends as it has to, and none gets another one's thumbnail."""
    def post(n):
        with alice.as_user(alice.token) as client:
            bad = n % 5 == 4
            item = client.new_item(f"many {n}")
            client.upload(item, b"bad" if bad else images.save(Image.new("RGB", (100 + n, 80), (n * 2, 255 - n * 2, 100)), "PNG"))
            return n, item, bad

    with ThreadPoolExecutor(8) as pool:
        posted = list(pool.map(post, range(100)))
    for n, item, bad in posted:
        done = alice.settled(item["id"], 60 * SLOWER)
        assert done["state"] == ("rejected" if bad else "ready")
        if not bad:
            assert (done["width"], done["height"]) == (100 + n, 80)
            image, _ = thumbnail_of(api, item)
            assert image.size == (100 + n, 80)
            assert all(abs(a - b) < 12 for a, b in zip(image.getpixel((50, 40)), (n * 2, 255 - n * 2, 100)))


def test_an_item_deleted_before_its_image_is_processed(api, alice, s3):
    """Whatever overtakes what: in the end nothing of it is left, and nothing comes back."""
    keys = []

    for n in range(10):
        item = alice.new_item(f"overtaken {n}")
        keys.append(image_id(item))
        alice.upload(item, images.jpeg(1600, 1200))
        assert alice.delete(f"/feed/{item['id']}").status_code == 200
    def nothing_left():
        return not any(has_object(s3, bucket, key) for key in keys for bucket in ("pixbus-media", "pixbus-thumbnails"))

    wait_until(nothing_left, 30 * SLOWER, "the end of all objects")
    for _ in range(4):  # what was being decoded meanwhile is through when these are
        ready(alice, images.jpeg(40, 30))
    assert nothing_left()


# ---- what was signed, and nothing else ----

def changed(url, **parameters):
    url = httpx.URL(url)
    return url.copy_merge_params(parameters) if parameters else url


def put(url, content=b"x", **options):
    return httpx.put(url, content=content, trust_env=False, **options)


def refused(response, code="SignatureDoesNotMatch"):
    assert response.status_code == 403 and response.headers["content-type"] == "application/xml"
    assert f"<Code>{code}</Code>" in response.text, response.text


def test_presigned_urls_are_for_what_they_were_signed_for(alice, s3):
    item, other = alice.new_item(), alice.new_item()
    url = httpx.URL(item["url"])
    refused(put(url.copy_with(path=f"/pixbus-media/{image_id(other)}")))
    refused(put(url.copy_with(path=f"/pixbus-thumbnails/{image_id(item)}")))
    refused(put(url.copy_with(path=f"/pixbus-media/{image_id(item)}x")))
    refused(put(changed(url, **{"X-Amz-Expires": "604800"})))
    refused(put(changed(url, **{"X-Amz-Signature": "0" * 64})))
    refused(put(changed(url, other="x")))
    refused(httpx.get(url, trust_env=False))
    refused(httpx.delete(url, trust_env=False))
    # Without a signature, or without anything: S3 says AccessDenied, or that the query is not whole.
    for stripped in (url.copy_remove_param("X-Amz-Signature"), url.copy_with(query=b"")):
        assert put(stripped).status_code in (400, 403)
    refused(put(url.copy_with(query=b"")), "AccessDenied")
    assert not has_object(s3, "pixbus-media", image_id(item)) and not has_object(s3, "pixbus-media", image_id(other))
    # A URL to look at is none to write to.
    alice.upload(item, b"x")
    looked = alice.settled(item["id"])
    assert httpx.get(looked["url"], trust_env=False).content == b"x"
    refused(put(looked["url"], b"overwritten"))
    assert httpx.get(looked["url"], trust_env=False).content == b"x"


def test_nobody_writes_thumbnails(shared, alice):
    item = ready(alice, images.jpeg(40, 30))
    url = f"{shared.store_url}/pixbus-thumbnails/{image_id(item)}"
    assert httpx.get(url, trust_env=False).status_code == 200
    assert put(url).status_code == 403 and httpx.delete(url, trust_env=False).status_code == 403
    assert httpx.get(f"{shared.store_url}/pixbus-media/{image_id(item)}", trust_env=False).status_code == 403


def test_an_upload_that_breaks_off_is_none(alice, s3):
    item = alice.new_item()
    url = httpx.URL(item["url"])
    with Connection((url.host, url.port)) as connection:
        connection.send(f"PUT {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 50000)
    assert not has_object(s3, "pixbus-media", image_id(item))
    assert alice.item(item["id"])["state"] == "pending"
    alice.upload(item, images.jpeg(40, 30))
    assert alice.settled(item["id"])["state"] == "ready"
