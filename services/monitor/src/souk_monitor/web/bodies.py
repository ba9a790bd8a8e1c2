"""Bodies of requests: collected up to a limit, and decompressed up to another, step by step, so that no bomb goes off."""

import zlib
from collections.abc import AsyncIterable, Callable, Iterator

import brotli
import zstandard

from souk_monitor.exceptions import MalformedError, TooLargeError

_STEP = 64 * 1024
_MOST_ENCODINGS = 2
_ZSTD_SLICE = 128
"""Four bytes may stand for a block of 128 KiB, and what a slice gives cannot be bounded otherwise."""
_WINDOW = 8 * 1024 * 1024
"""The largest window of zstd that is taken, as RFC 9659 has it for HTTP."""


async def collect(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """The whole of a body; TooLargeError as soon as it is over `limit` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise TooLargeError(limit)
    return bytes(body)


def first_line(body: bytes, encoding: str, limit: int) -> bytes:
    """The first line of a body as it was before it was compressed, or what of it is in 64 KiB, for no more work than that.

    Errors as of `decompress`, as far as it was read.
    """
    names = _names(encoding)
    for name in names[:-1]:
        body = _whole(_DECODERS[name](body), name, limit)
    last = names[-1] if names else ""
    return _whole(_first(_DECODERS[last](body) if last else iter((body[:_STEP],))), last, limit).partition(b"\n")[0]


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before it was compressed, by what the header Content-Encoding says.

    TooLargeError as soon as it is over `limit` bytes; MalformedError where it is not so compressed, ends too early, or the encoding
    is none of gzip, deflate, br, zstd and identity, or more than two of them.
    """
    for name in _names(encoding):
        body = _whole(_DECODERS[name](body), name, limit)
    if len(body) > limit:
        raise TooLargeError(limit)
    return body


def _names(encoding: str) -> list[str]:
    """The encodings to take off, in their order."""
    names = [name for name in reversed([part.strip() for part in encoding.lower().split(",")]) if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        raise MalformedError(f"more than {_MOST_ENCODINGS} encodings")
    for name in names:
        if name not in _DECODERS:
            raise MalformedError(f"the encoding {name[:50]!r} is not known: gzip, deflate, br and zstd are")
    return names


def _first(steps: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for step in steps:
        yield step
        size += len(step)
        if b"\n" in step or size >= _STEP:
            return


def _whole(steps: Iterator[bytes], name: str, limit: int) -> bytes:
    whole = bytearray()
    try:
        for step in steps:
            whole += step
            if len(whole) > limit:
                raise TooLargeError(limit)
    except (zlib.error, brotli.error, zstandard.ZstdError, EOFError):
        raise MalformedError(f"the body is not compressed with {name}, or ends too early") from None
    return bytes(whole)


def _gzip(body: bytes) -> Iterator[bytes]:
    return _inflated(body, zlib.MAX_WBITS | 16)


def _deflate(body: bytes) -> Iterator[bytes]:
    """With the header of zlib, as it should be, or without, as some send it."""
    has_header = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    return _inflated(body, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _inflated(body: bytes, window: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(window)
    while not inflater.eof:
        step = inflater.decompress(body, _STEP)
        body = inflater.unconsumed_tail
        if not step and not inflater.eof:
            raise EOFError
        yield step


def _brotli(body: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    step = decoder.process(body, output_buffer_limit=_STEP)
    while not decoder.is_finished():
        yield step
        step = decoder.process(b"", output_buffer_limit=_STEP)
        if not step and not decoder.is_finished():
            raise EOFError
    yield step


def _zstd(body: bytes) -> Iterator[bytes]:
    inflater = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    for start in range(0, len(body), _ZSTD_SLICE):
        yield inflater.decompress(body[start : start + _ZSTD_SLICE])
        if inflater.eof:
            return
    raise EOFError


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
