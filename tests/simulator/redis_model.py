"""A model of one Redis process that runs the shipped Lua: as much of its commands as the scripts call, on a virtual clock.

tests/integration/cache/test_scripts_on_redis.py makes the same script calls here and on a real Redis, and compares.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime

_MODEL = Path(__file__).with_name("redis_model.lua").read_bytes()


@functools.cache
def _runtime() -> tuple[LuaRuntime, Any, dict[str, Any]]:
    """The interpreter, the model in it, and the scripts that it has compiled: all schedules of a process use one."""
    lua = LuaRuntime(encoding=None)
    return lua, lua.execute(_MODEL), {}


class RedisModel:
    """Runs scripts one after another on its data. One at a time: a new one takes the data of the one before away."""

    def __init__(self, clock_ms: Callable[[], float], run_id: str) -> None:
        self.has_appended = False
        """Whether the last script added to a stream."""
        self._clock_ms = clock_ms
        self._lua, self._model, self._scripts = _runtime()
        self._run = self._model[b"run"]
        self.begin(run_id, None)

    def begin(self, run_id: str, data: Any) -> None:
        """Another process takes over with this data; None: with none."""
        self._model[b"begin"](run_id.encode())
        if data is None:
            self._model[b"clear"]()
        else:
            self._model[b"replace"](data)

    def run(self, text: str, keys: tuple[str, ...], args: tuple[str | bytes, ...]) -> list[Any]:
        """EVAL of a script that returns a table."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self._lua.eval(f"function(KEYS, ARGV) {text}\nend".encode())
        given = [each.encode() if isinstance(each, str) else each for each in (*keys, *args)]
        self.has_appended, *reply = self._run(script, self._clock_ms(), len(keys), *given)
        return [each if isinstance(each, bytes | int) else _nested(each) for each in reply]

    def copy(self) -> Any:
        """All data, as a replica has it."""
        return self._model[b"copy"]()

    def put(self, key: str, value: bytes) -> None:
        """SET by somebody else."""
        self._model[b"put"](key.encode(), value)

    def entries(self, stream: str, first: int) -> list[tuple[int, bytes]]:
        """The entries of a stream from number `first` on, each with its one field."""
        return [(int(entry[1]), entry[2]) for entry in self._model[b"entries"](stream.encode(), first).values()]

    def field(self, key: str, field: str) -> bytes:
        """HGET, b'' where there is nothing."""
        found: bytes = self._model[b"field"](key.encode(), field.encode())
        return found


def _nested(table: Any) -> list[Any]:
    return [each if isinstance(each := table[i], bytes | int) else _nested(each) for i in range(1, len(table) + 1)]
