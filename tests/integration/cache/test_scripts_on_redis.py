"""The shipped Lua on a real Redis answers what it answers on the model that the simulator runs it on."""

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from redis_servers import redis_server
from simulator.redis_model import RedisModel
from souk_cache import scripts
from souk_cache.scripts import Keys

KEYS = Keys("p")
EPOCH = re.compile(rb"[0-9a-f]{40}\.\d+")
NAMES = ("=n", "#a", "#b", "+red", "+blue", "~n:w", "~n:e")
LEASES = "600000 900000"
SMALL = (("'100000'", "'3'"), ("> 200000", "> 8"))


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[redis.Redis]:
    async with redis_server(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        yield client


def small(text: str) -> str:
    """With limits that a test reaches. A stream is trimmed about where it should be, so that is left alone."""
    return text.replace(*SMALL[1])


class Both:
    """Runs each call on both, and compares the answers but for epochs and what is left of a time."""

    def __init__(self, real: redis.Redis, run_id: str) -> None:
        self.real = real
        self.now = 1_700_000_000_000.0
        self.model = RedisModel(lambda: self.now, run_id)
        self.epochs = {"real": b"", "model": b""}

    async def run(self, name: Any, keys: tuple[str, ...], *args: str) -> Any:
        text = small(scripts.source(name))
        answers = {}
        for where in ("real", "model"):
            given = tuple(self.epochs[where].decode() if arg == "EPOCH" else arg for arg in args)
            every = (*KEYS.shared, *keys)
            if where == "real":
                answers[where] = await self.real.eval(text, len(every), *every, *given)
            else:
                answers[where] = self.model.run(text, every, given)
            self.epochs[where] = answers[where][0]
        assert self._plain(answers["real"]) == self._plain(answers["model"]), (name, keys, args)
        return answers["real"]

    def _plain(self, answer: Any) -> Any:
        assert EPOCH.fullmatch(answer[0])
        plain = list(answer[1:])
        if len(plain) > 2 and plain[2] == b"hit":
            plain[6] = 0  # its age
        if len(plain) > 2 and plain[2] == b"wait":
            plain[3] = 0
        if isinstance(plain[-1], int) and len(plain) in (2, 4) and plain[1] not in (b"stored", b"tainted", b"older", b"lease"):
            plain[-1] = plain[-1] > 0
        if plain[1] in (b"stored", b"tainted") and plain[2] > 1000:
            plain[2] = "left"
        return plain


async def server_run_id(real: redis.Redis) -> str:
    return str((await real.info("server"))["run_id"])


@pytest.mark.parametrize("seed", range(20))
async def test_the_model_answers_as_redis_does(real: redis.Redis, seed: int):
    rng = random.Random(seed)
    both = Both(real, await server_run_id(real))
    tokens: dict[str, str] = {}
    for number in range(150):
        key = rng.choice("ab")
        slots = (KEYS.value(key), KEYS.lease(key))
        named = rng.sample(("w", "e"), rng.randrange(3))
        aliases = [KEYS.value(f"n~{each}") for each in named]
        alias_names = [f"=n\n~n:{each}" for each in named]
        tags = rng.sample(("+red", "+blue"), rng.randrange(3))
        names = "\n".join(("=n", f"#{key}", *tags, *(f"~n:{each}" for each in named)))
        if rng.random() < 0.3:
            slots = (KEYS.value("n~w"), KEYS.lease("n~w"))
        match rng.randrange(9):
            case 0 | 1 | 2:
                token = f"t{number}"
                answer = await both.run("acquire", slots, LEASES, token, "600000", rng.choice(("load", "read", "refresh")), "n")
                if answer[3] == b"lease" or (answer[3] == b"hit" and answer[9]):
                    tokens[key] = token
            case 3 | 4:
                token = tokens.get(key, "forged") if rng.random() < 0.9 else "forged"
                version = rng.choice(("", f"{rng.randrange(5):020}"))
                given_back = rng.choice("000001")
                args = (LEASES, token, f"data{number}", names, "600000", version, given_back, key, *alias_names)
                await both.run("fill", (*slots, *aliases), *args)
            case 5:
                known = str(rng.randrange(number + 1))
                replaces = "\n".join((f"#{key}", *(f"~n:{each}" for each in named)))
                args = (LEASES, f"put{number}", names, "600000", "", replaces, "EPOCH", known, key, *alias_names)
                await both.run("put", (*slots, *aliases), *args)
            case 6:
                gone = slots if rng.random() < 0.5 else ()
                source = rng.choice(("", f"{rng.randrange(100):020}"))
                await both.run(
                    "invalidate",
                    gone,
                    LEASES,
                    rng.choice("12"),
                    rng.choice(("n", "n\nm")),
                    source,
                    *rng.sample(NAMES, rng.randrange(1, 4)),
                )
            case 7:
                member, applied = rng.choice(("m1", "m2")), str(rng.randrange(number + 1))
                awaited = (rng.choice(("", "3")), rng.choice("12"))
                brought = rng.choice(("", f"n={rng.randrange(100):020}"))
                await both.run("beat", (), LEASES, member, "EPOCH", applied, applied, "0", "4", *awaited, brought)
            case 8 if rng.random() < 0.3:
                await real.set(slots[0], b"rubbish")
                both.model.put(slots[0], b"rubbish")


async def test_rubbish_and_other_types_in_redis_are_a_miss(real: redis.Redis):
    await real.hset(KEYS.value("a"), mapping={"e": "x", "s": "y", "junk": "\xff"})
    await real.rpush(KEYS.value("b"), "list")
    await real.hset(KEYS.lease("a"), "not", "a lease")
    for key in "ab":
        every = (*KEYS.shared, KEYS.value(key), KEYS.lease(key))
        answer = await real.eval(scripts.source("acquire"), len(every), *every, "1000 0", "t", "1000", "read", "n")
        assert answer[3] == b"miss"


async def test_a_restart_with_other_data_begins_a_new_epoch(real: redis.Redis):
    every = (*KEYS.shared, KEYS.value("a"), KEYS.lease("a"))

    async def acquire(mode: str) -> Any:
        return await real.eval(scripts.source("acquire"), len(every), *every, "1000 0", "t", "60000", mode, "n")

    first = await acquire("load")
    fill = ("1000 0", "t", "data", "=n\n#a", "60000", "", "0", "")
    assert (await real.eval(scripts.source("fill"), len(every), *every, *fill))[2] == b"stored"
    assert (await acquire("read"))[3] == b"hit"

    await real.hset(KEYS.shared[0], "run", "0" * 40)  # as if another process had written the data
    second = await acquire("read")
    assert second[0] != first[0]
    assert second[3] == b"miss"

    source = f"{7:020}"
    await real.hset(KEYS.shared[0], mapping={"s:n": source, "s:m": "rubbish"})
    await real.delete(KEYS.shared[1])  # the counters are lost
    assert (await acquire("load"))[3] == b"lease"
    assert (await real.eval(scripts.source("fill"), len(every), *every, *fill))[2] == b"tainted"
    third = await acquire("read")
    assert third[0] != second[0]
    assert third[2] == source.encode(), "what loads must see at least is a thing of the database"
    assert not await real.hexists(KEYS.shared[0], "s:m")
