"""The Lua scripts that hold the shared state in Redis, how its keys are named, and what the scripts answer.

Every key of a partition carries its hash tag, so that a script touches one slot of a Redis Cluster and is atomic.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

ScriptName = Literal["acquire", "fill", "put", "invalidate", "beat"]
NAMES: tuple[ScriptName, ...] = get_args(ScriptName)
"""All of them."""
Reply = Sequence[Any]
"""What a script returned: numbers as int, texts as bytes, lists nested."""


@dataclass(frozen=True, slots=True)
class Call:
    """One script to run, with its keys and arguments."""

    script: ScriptName
    keys: tuple[str, ...]
    args: tuple[str | bytes, ...]


@cache
def source(name: ScriptName) -> str:
    """The text of a script: the prelude that all share, then its own."""
    folder = resources.files("souk_cache") / "lua"
    return "\n".join((folder / f"{part}.lua").read_text() for part in ("prelude", name))


class Keys:
    """The Redis keys of one partition."""

    __slots__ = ("_prefix", "shared")

    def __init__(self, partition: str) -> None:
        self._prefix = f"souk:{{{partition}}}:"
        self.shared = tuple(self._prefix + part for part in ("meta", "counters", "older", "stream"))
        """What every script takes first."""

    def value(self, key: str) -> str:
        """Where the value of a key is."""
        return f"{self._prefix}v:{key}"

    def lease(self, key: str) -> str:
        """Where the lease of a key is."""
        return f"{self._prefix}l:{key}"

    @property
    def stream(self) -> str:
        """The stream of invalidations."""
        return self.shared[3]


def text(value: bytes | str) -> str:
    """A text that Redis returned. What somebody else wrote there may be anything."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


POSITION_DIGITS = 20
"""Versions and source tokens are compared as texts of so many digits, in Lua too: every number of 64 bits fits."""
_POSITION = re.compile(rf"[0-9]{{{POSITION_DIGITS}}}")
_LAST_POSITION = f"{2**63 - 1:0{POSITION_DIGITS}}"


def position(text: str) -> str:
    """A version or a source token as it is kept, which fits 64 bits with a sign; '' where it is none."""
    return text if _POSITION.fullmatch(text) and text <= _LAST_POSITION else ""


def names_of(value: bytes | str) -> tuple[str, ...]:
    """The names of an entry of the stream, or of a value."""
    return tuple(name for name in text(value).split("\n") if name)


@dataclass(frozen=True, slots=True)
class Acquired:
    """What `acquire` answers."""

    epoch: str
    seq: int
    source: str
    status: str
    """hit, lease, wait or miss."""
    data: bytes = b""
    names: tuple[str, ...] = ()
    value_seq: int = 0
    age: float = 0.0
    """Seconds since it was stored."""
    version: str = ""
    granted: bool = False
    """A lease to refresh it was given with the hit."""
    lease_left: float = 0.0
    """Seconds that the lease of another lasts."""


def acquired(reply: Reply) -> Acquired:
    """Read the answer of `acquire`."""
    epoch, seq, token, status = text(reply[0]), int(reply[1]), position(text(reply[2])), text(reply[3])
    if status == "hit":
        age = int(reply[7]) / 1000
        version = position(text(reply[8]))
        return Acquired(epoch, seq, token, status, reply[4], names_of(reply[5]), int(reply[6]), age, version, bool(reply[9]))
    return Acquired(epoch, seq, token, status, lease_left=max(0, int(reply[4])) / 1000 if status == "wait" else 0.0)


@dataclass(frozen=True, slots=True)
class Stored:
    """What `fill` and `put` answer."""

    epoch: str
    seq: int
    status: str
    """stored, older, tainted, and for fill: lease, released."""
    left: float = 0.0
    """Seconds until every member knows, after `put`."""


def stored(reply: Reply, *, is_put: bool) -> Stored:
    """Read the answer of `fill` or `put`."""
    return Stored(text(reply[0]), int(reply[1]), text(reply[2]), int(reply[3]) / 1000 if is_put else 0.0)


@dataclass(frozen=True, slots=True)
class Beaten:
    """What `beat` answers."""

    epoch: str
    seq: int
    status: str
    """ok, behind or flush."""
    events: tuple[tuple[int, tuple[str, ...]], ...]
    left: float


def beaten(reply: Reply) -> Beaten:
    """Read the answer of `beat`."""
    events = tuple((int(seq), names_of(names)) for seq, names in reply[3])
    return Beaten(text(reply[0]), int(reply[1]), text(reply[2]), events, int(reply[4]) / 1000)
