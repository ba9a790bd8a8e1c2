"""Forks at once what would take a second to start: it has imported what the module needs that each fork then runs.

    python fork_server.py <socket> <module> <what to import>...

Who connects sends what to run, with its standard streams, and is told the pid of the fork, and how it ended. The server ends with
its own standard input. A fork differs from `python -m <module>` in nothing but its parent and its name in /proc.
"""

import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import time
from typing import Any

MAX_BYTES = 1 << 20


def serve(listener: socket.socket) -> dict[str, Any]:
    """Return in forks only: what this one is to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        readable, _, _ = select.select([listener, 0], [], [])
        if 0 in readable:
            sys.exit()
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return become(connection)
        connection.close()


def become(connection: socket.socket) -> dict[str, Any]:
    """Fork what was asked for, in which alone this returns, and tell how it does."""
    message, streams, _, _ = socket.recv_fds(connection, MAX_BYTES, 3)
    child = os.fork()
    if child:
        with contextlib.suppress(OSError):  # nobody may want to know
            connection.send(str(child).encode())
            for stream in streams:
                os.close(stream)
            _, status = os.waitpid(child, 0)
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    wanted: dict[str, Any] = json.loads(message)
    return wanted


def start(wanted: dict[str, Any]) -> None:
    """What Python does when it starts."""
    if wanted["own_session"]:
        os.setsid()
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv[1:] = wanted["arguments"]
    sys.path[0] = wanted["folder"]
    time.tzset()
    random.seed()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        lines = number == 2 or os.isatty(number)
        new = open(  # noqa: SIM115
            number, "w" if number else "r", buffering=1 if lines else -1, encoding=old.encoding, errors=old.errors, closefd=False
        )
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


if __name__ == "__main__":
    _, path, module, *needed = sys.argv
    for each in needed:
        importlib.import_module(each)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        gc.freeze()  # whoever looks for cycles would copy all that was imported
        os.write(1, b"ready\n")
        wanted = serve(listener)
    start(wanted)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
