"""The checksum of a whole from those of its parts."""

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st
from souk.client._crc32c import appending


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=300))
def test_two_checksums_are_joined_to_that_of_the_whole(first, following):
    joined = appending(len(following))(google_crc32c.value(first), google_crc32c.value(following))
    assert joined == google_crc32c.value(first + following)


def test_many_full_chunks_are_joined_one_by_one():
    chunks = [bytes([number]) * 4096 for number in range(20)]
    whole = 0
    for chunk in chunks:
        whole = appending(4096)(whole, google_crc32c.value(chunk))
    assert whole == google_crc32c.value(b"".join(chunks))
