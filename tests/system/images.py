"""Images made by Pillow: ones whose corners tell which way up they are, and ones that are not what they seem."""

import io
import struct
import zlib

from PIL import Image

# The corners of the upright image: top left, top right, bottom left, bottom right.
CORNERS = [(220, 40, 40), (40, 180, 60), (50, 70, 220), (230, 200, 40)]
# What has to be done to the upright image so that EXIF's orientation undoes it.
STORED = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}


def quarters(width, height):
    image = Image.new("RGB", (width, height))
    boxes = [(0, 0, width // 2, height // 2), (width // 2, 0, width, height // 2), (0, height // 2, width // 2, height), (width // 2, height // 2, width, height)]
    for colour, box in zip(CORNERS, boxes):
        image.paste(colour, box)
    return image


def save(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(width=800, height=600, orientation=None, **options):
    """Upright it shows its quarters; it is stored turned, with the orientation that says so."""
    image, exif = quarters(width, height), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        exif[0x010E] = "SECRET-DESCRIPTION"
        exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)  # GPS latitude
        if STORED.get(orientation) is not None:
            image = image.transpose(STORED[orientation])
    return save(image, "JPEG", quality=90, exif=exif, **options)


def check_corners(image, tolerance=30):
    """Each corner has its colour: the image is upright."""
    width, height = image.size
    points = [(width // 8, height // 8), (width * 7 // 8, height // 8), (width // 8, height * 7 // 8), (width * 7 // 8, height * 7 // 8)]
    for point, colour in zip(points, CORNERS):
        found = image.convert("RGB").getpixel(point)
        assert all(abs(a - b) <= tolerance for a, b in zip(found, colour)), (point, found, colour)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height):
    """A few bytes that claim to be so large."""
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b""))


def jpeg_claiming(width, height):
    content = bytearray(save(quarters(64, 64), "JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(content)
