"""What a change is known by, so that a repeat of it answers as the first did."""

from hashlib import sha256

from google.protobuf.message import Message
from souk_common.call import caller

from souk_monitor.tracker import Request


def known(request: Message, request_id: str) -> Request:
    """By who calls, the id that they gave, and all that the request says, with what it is a request of."""
    said = request.DESCRIPTOR.full_name.encode() + request.SerializeToString(deterministic=True)
    return Request(caller(), request_id, sha256(said).digest())
