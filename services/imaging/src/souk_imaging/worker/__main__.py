"""`python -m souk_imaging.worker`: jobs as JSON lines on standard input, events as JSON lines on standard output. Ends with its
input."""

import ctypes
import os
import signal
import sys
from pathlib import Path

NICENESS = 5
"""So that the service's event loop gets a core as soon as it wants one."""
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve jobs until there are no more."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(NICENESS)
    for stop in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C and systemd send them to all: the service lets its workers finish
        signal.signal(stop, signal.SIG_IGN)
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # whatever a library prints is no event

    from souk_imaging.worker import pipeline, wire  # libvips starts only when everything is set up for it

    def emit(event: wire.Message) -> None:
        events.write(wire.dump(event))

    pipeline.set_up()
    emit({"event": "ready", "pid": os.getpid()})
    for line in sys.stdin.buffer:
        pipeline.run(wire.load_job(line), emit)


if __name__ == "__main__":
    main()
