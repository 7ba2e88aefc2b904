"""JSON Web Tokens made by hand, also such as nobody should make."""

import base64
import hashlib
import hmac
import json
import time
import uuid

from system import TOKEN_SECRET


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    return encode(value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode())


def claims(email, user_id, **changes):
    """Those of a good token; a change to None leaves a claim out."""
    now = int(time.time())
    good = {"sub": email, "uid": user_id, "iat": now, "exp": now + 3600, "jti": uuid.uuid4().hex, "iss": "pixbus", "aud": "pixbus",
            "kind": "access", **changes}
    return {name: value for name, value in good.items() if value is not None}


def sign(payload, header=None, secret=TOKEN_SECRET, digest=hashlib.sha256):
    """A compact JWS; `payload` and `header` are objects or raw bytes."""
    signed = f"{part(header if header is not None else {'alg': 'HS256', 'typ': 'JWT'})}.{part(payload)}"
    return f"{signed}.{encode(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def decode(token):
    """Header and claims, unverified."""
    return [json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4))) for piece in token.split(".")[:2]]
