"""Bodies of requests: collected up to a limit, and decompressed up to another, step by step, so that no bomb goes off."""

import zlib
from collections.abc import AsyncIterable, Callable, Generator, Iterator
from typing import Any, Protocol

import brotli
import zstandard

from souk_monitor.exceptions import MalformedError, TooLargeError

_STEP = 64 * 1024
_MOST_ENCODINGS = 2
_MOST_MEMBERS = 1000
"""Of one body: streams of gzip or zstd that follow each other, of which an empty one takes few bytes and the time of another."""
_ZSTD_SLICE = 128
"""Four bytes may stand for a block of 128 KiB, and what a slice gives cannot be bounded otherwise."""
_WINDOW = 8 * 1024 * 1024
"""The largest window of zstd that is taken, as RFC 9659 has it for HTTP."""
_BROTLI_WINDOW = 16 * 1024 * 1024
"""The largest that there is (RFC 7932, 9.1)."""
_PADDING = b"\0\r\n\t "
"""What may be behind the end of what is compressed."""


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

    The body may go on. Errors as of `Decompression`, as far as it was read.
    """
    line = bytearray()
    for step in Decompression(encoding, limit).feed(body):
        line += step[:_STEP]
        if b"\n" in line or len(line) >= _STEP:
            break
    return bytes(line.partition(b"\n")[0])


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The whole of a body as it was before it was compressed. Errors as of `Decompression`."""
    decompression = Decompression(encoding, limit)
    whole = b"".join(decompression.feed(body))
    decompression.end()
    return whole


def is_compressed(encoding: str) -> bool:
    """Whether there is anything to take off."""
    return bool(_names(encoding))


class Decompression:
    """A body as it was before it was compressed, while it comes, by what the header Content-Encoding says.

    All raise TooLargeError as soon as it is over `limit` bytes, and MalformedError where it is not so compressed, ends too early,
    or the encoding is none of gzip, deflate, br, zstd and identity, or more than two of them.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._stages = [_Stage(name, limit) for name in _names(encoding)]
        self._limit = limit
        self._fed = 0
        self.window = sum(stage.window for stage in self._stages)
        """Bytes that it may keep of what it has given, to give it again."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of the next bytes, in steps that are to be taken one by one, all of them."""
        self._fed += len(data)
        if self._fed > self._limit:
            raise TooLargeError(self._limit)
        steps = iter((data,))
        for stage in self._stages:
            steps = stage.feed(steps)
        return steps

    def end(self) -> None:
        """There are no more bytes."""
        for stage in self._stages:
            stage.end()


def _names(encoding: str) -> list[str]:
    """The encodings to take off, in their order."""
    if not encoding or encoding in _DECODERS:
        return [encoding] if encoding else []
    names = [name for name in reversed([part.strip() for part in encoding.lower().split(",")]) if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        raise MalformedError(f"more than {_MOST_ENCODINGS} encodings")
    for name in names:
        if name not in _DECODERS:
            raise MalformedError(f"the encoding {name[:50]!r} is not known: gzip, deflate, br and zstd are")
    return names


class _Stage:
    """One encoding taken off."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._size = 0
        make, self.window = _DECODERS[name]
        self._decoder = make()

    def feed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            try:
                for step in self._decoder.feed(chunk):
                    self._size += len(step)
                    if self._size > self._limit:
                        raise TooLargeError(self._limit)
                    yield step
            except (zlib.error, brotli.error, zstandard.ZstdError, EOFError):
                raise self._malformed() from None

    def end(self) -> None:
        if not self._decoder.is_whole():
            raise self._malformed()

    def _malformed(self) -> MalformedError:
        return MalformedError(f"the body is not compressed with {self._name}, or ends too early, or goes on behind its end")


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of it; EOFError where its end was before."""

    def is_whole(self) -> bool:
        """Whether its end has come."""


class _Members:
    """Streams that follow each other, each with an end of its own; padding may be behind it."""

    def __init__(self, make: Callable[[], Any], most: int) -> None:
        self._make = make
        self._left = most
        self._inflater: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _STEP):
            rest = data[start : start + _STEP]
            while rest:
                if self._inflater is None or self._inflater.eof:
                    rest = self._begins(rest)
                if rest:
                    rest = yield from self._steps(self._inflater, rest)

    def is_whole(self) -> bool:
        return self._inflater is not None and self._inflater.eof

    def _begins(self, data: bytes) -> bytes:
        """What there is for the next member, if there is one."""
        if self._inflater is not None:
            data = data.lstrip(_PADDING)
        if data:
            self._left -= 1
            if self._left < 0:
                raise EOFError
            self._inflater = self._make()
        return data

    def _steps(self, inflater: Any, data: bytes) -> Generator[bytes, None, bytes]:
        step = inflater.decompress(data, _STEP)
        yield step
        while not inflater.eof and (inflater.unconsumed_tail or len(step) == _STEP):
            step = inflater.decompress(inflater.unconsumed_tail, _STEP)
            yield step
        return bytes(inflater.unused_data)


class _Gzip(_Members):
    def __init__(self) -> None:
        super().__init__(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), _MOST_MEMBERS)


class _Zstd(_Members):
    def __init__(self) -> None:
        super().__init__(zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj, _MOST_MEMBERS)

    def _steps(self, inflater: Any, data: bytes) -> Generator[bytes, None, bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            end = start + _ZSTD_SLICE
            yield inflater.decompress(data[start:end])
            if inflater.eof:
                return bytes(inflater.unused_data) + data[end:]
        return b""


class _Deflate:
    """With the header of zlib, as it should be, or without, as some send it."""

    def __init__(self) -> None:
        self._head = b""
        self._members: _Members | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._members is None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return
            has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            window = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
            self._members = _Members(lambda: zlib.decompressobj(window), 1)
        yield from self._members.feed(data)

    def is_whole(self) -> bool:
        return self._members is not None and self._members.is_whole()


class _Brotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _STEP):
            step = self._decoder.process(data[start : start + _STEP], output_buffer_limit=_STEP)
            while step:
                yield step
                step = b"" if self.is_whole() else self._decoder.process(b"", output_buffer_limit=_STEP)

    def is_whole(self) -> bool:
        return bool(self._decoder.is_finished())


_DECODERS: dict[str, tuple[Callable[[], _Decoder], int]] = {
    "gzip": (_Gzip, 2**zlib.MAX_WBITS),
    "x-gzip": (_Gzip, 2**zlib.MAX_WBITS),
    "deflate": (_Deflate, 2**zlib.MAX_WBITS),
    "br": (_Brotli, _BROTLI_WINDOW),
    "zstd": (_Zstd, _WINDOW),
}
"""What takes each off, and the bytes of its window."""
