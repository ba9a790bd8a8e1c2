"""Users of a shop as monitor counts them: by a hash that is keyed by a secret of the project, so that who they are is only in
bodies, where it can be erased."""

from hashlib import blake2b

from souk_monitor.events import User


def person(secret: bytes, text: str) -> int:
    """The hash of what a user is known by, as a signed integer of 64 bits. secret: the project's, 64 bytes at the most."""
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, "big", signed=True)


def people(secret: bytes, user: User | None) -> list[int]:
    """The hashes of all that a user is known by; the first is the one that they are counted by."""
    if user is None:
        return []
    known = dict.fromkeys(text for text in (user.id, user.email, user.username, user.ip_address) if text)
    return [person(secret, text) for text in known]
