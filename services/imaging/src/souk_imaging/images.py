"""Images and their variants, as the core knows them, and as their manifest keeps them."""

import enum
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: 26 characters carry 128 bits and sort as the number does (as in the ULID specification)."""
ID_LENGTH = 26
_VARIANT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}-[1-9][0-9]{0,4}\.(?P<digest>[0-9a-f]{16})\.(?P<extension>jpg|png|webp|avif)")
_LATEST = (1 << 48) - 1


class Format(enum.StrEnum):
    """How a picture is encoded. The value is the file extension."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"

    @property
    def content_type(self) -> str:
        """The media type."""
        return "image/jpeg" if self is Format.JPEG else f"image/{self.value}"


class ImageState(enum.StrEnum):
    """Where an image stands."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class VariantState(enum.StrEnum):
    """Where a variant stands."""

    PENDING = "pending"
    READY = "ready"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Original:
    """The photo that was uploaded."""

    content_type: str
    size_bytes: int
    width: int
    """Upright, in pixels."""
    height: int
    """Upright, in pixels."""
    frames: int
    has_alpha: bool
    sha256: str
    """In hexadecimal; '' while it is not known."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of an image in one format."""

    profile: str
    format: Format
    width: int
    height: int
    state: VariantState = VariantState.PENDING
    size_bytes: int = 0
    digest: str = ""
    """The first 16 hexadecimal digits of the SHA-256 of its bytes; empty while it is pending."""
    encode_seconds: float = 0.0

    @property
    def name(self) -> str:
        """Unique within the image, and the last part of its object's key."""
        middle = f".{self.digest}" if self.digest else ""
        return f"{self.profile}-{self.width}{middle}.{self.format.value}"


@dataclass(frozen=True, slots=True)
class Processing:
    """What making the variants took. Times in seconds."""

    queue_seconds: float
    decode_seconds: float
    worker_seconds: float
    total_seconds: float
    decodes: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image is FAILED, as an rpc would have said it."""

    code: int
    reason: str
    domain: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """A photo with its variants. Its manifest is this, as JSON."""

    image_id: str
    owner: str
    profile: str
    tags: tuple[str, ...]
    create_time: float
    """Seconds since 1970 UTC."""
    update_time: float
    state: ImageState
    original: Original
    variants: tuple[Variant, ...] = ()
    failure: Failure | None = None
    processing: Processing | None = None

    @property
    def finished(self) -> bool:
        """No more changes are to come, but deletion."""
        return self.state is not ImageState.PROCESSING

    def ready(self) -> tuple[Variant, ...]:
        """The variants that can be served."""
        return tuple(variant for variant in self.variants if variant.state is VariantState.READY)

    def with_variant(self, done: Variant, *, now: float) -> "Image":
        """The image after `done` has taken the place of the variant with its format and width, or has joined them."""
        others = tuple(v for v in self.variants if (v.format, v.width) != (done.format, done.width))
        ordered = sorted((*others, done), key=lambda v: (-v.width, list(Format).index(v.format)))
        return replace(self, variants=tuple(ordered), update_time=now)

    def to_json(self) -> bytes:
        """The manifest."""
        return orjson.dumps({"version": 1, **_plain(self)}, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, manifest: bytes) -> "Image":
        """The image of a manifest; ValueError where it is none."""
        try:
            fields: dict[str, Any] = orjson.loads(manifest)
            if fields.pop("version") != 1:
                raise ValueError("a manifest of another version")
            original = Original(**fields.pop("original"))
            variants = tuple(
                Variant(**{**v, "format": Format(v["format"]), "state": VariantState(v["state"])}) for v in fields.pop("variants")
            )
            failure = fields.pop("failure")
            processing = fields.pop("processing")
            return cls(
                **{**fields, "tags": tuple(fields["tags"]), "state": ImageState(fields["state"])},
                original=original,
                variants=variants,
                failure=Failure(**failure) if failure else None,
                processing=Processing(**processing) if processing else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error}") from error


def _plain(image: Image) -> dict[str, Any]:
    plain: dict[str, Any] = orjson.loads(orjson.dumps(image))
    return plain


def parse_variant_name(name: str) -> tuple[Format, str] | None:
    """(format, digest) of the name of a variant that can be served; None where `name` is not written as one is."""
    match = _VARIANT_NAME.fullmatch(name)
    return (Format(match["extension"]), match["digest"]) if match else None


def new_image_id(*, now: float | None = None) -> str:
    """A new id: 48 bits of milliseconds since 1970 and 80 random bits, so that ids sort by the time they were made."""
    milliseconds = int((time.time() if now is None else now) * 1000) & _LATEST
    return _base32((milliseconds << 80) | secrets.randbits(80))


def is_image_id(text: str) -> bool:
    """Whether `text` is written as an id is: no path, no capital, nothing to escape."""
    return len(text) == ID_LENGTH and text[0] <= "7" and all(letter in ID_ALPHABET for letter in text)


def newest_first(image_id: str) -> str:
    """The id's complement, which sorts newest first and is its own inverse."""
    return "".join(ID_ALPHABET[31 - ID_ALPHABET.index(letter)] for letter in image_id)


def is_list_position(text: str) -> bool:
    """Whether it can be a place in a list: the end of an index entry, which has no other folder in it."""
    return text.count("~") == 2 and text.replace("~", "").replace(".", "").isalnum() and text.isascii()


def _base32(number: int) -> str:
    letters = []
    for _ in range(ID_LENGTH):
        number, digit = divmod(number, 32)
        letters.append(ID_ALPHABET[digit])
    return "".join(reversed(letters))
