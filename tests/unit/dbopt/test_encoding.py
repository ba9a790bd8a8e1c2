"""ExecuteQuery's answers are encoded as protobuf does."""

from hypothesis import given
from hypothesis import strategies as st
from souk.dbopt.v1 import query_pb2 as pb
from souk_dbopt.consistency import Position
from souk_dbopt.executing import Rows
from souk_dbopt.routing import Role
from souk_dbopt.rpc import encoding

SOURCES = {Role.PRIMARY: pb.SOURCE_PRIMARY, Role.REPLICA: pb.SOURCE_REPLICA, None: pb.SOURCE_CACHE}
NUMBERS = st.integers(0, 2**31 - 1)
PLACES = st.builds(Position, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))


@given(
    st.text(max_size=300),
    NUMBERS,
    st.none() | PLACES,
    st.sampled_from(list(SOURCES)),
    st.integers(0, 10**12),
    st.booleans(),
)
def test_an_answer_has_the_bytes_that_protobuf_makes_of_it(
    text: str, count: int, position: Position | None, role: Role | None, nanos: int, repeated: bool
):
    expected = pb.ExecuteQueryResponse(
        rows=f"[{text}]",
        row_count=count,
        consistency_token="" if position is None else str(position),
        source=SOURCES[role],
        database_time={"seconds": nanos // 10**9, "nanos": nanos % 10**9},
        repeated=repeated,
    )
    told = encoding.rows(Rows(f"[{text}]", count, position, role, nanos / 1e9, repeated))
    assert told == expected.SerializeToString(deterministic=True)
