"""Texts that take long to read."""

import threading

from souk_dbopt import long_texts


def reader(text: str) -> tuple[int, int]:
    return len(text), threading.get_ident()


async def test_a_long_text_is_read_beside_the_event_loop_and_a_short_one_at_once():
    here = threading.get_ident()
    assert await long_texts.read(reader, "a" * long_texts.SHORT) == (long_texts.SHORT, here)
    length, thread = await long_texts.read(reader, "a" * (long_texts.SHORT + 1))
    assert length == long_texts.SHORT + 1
    assert thread != here
