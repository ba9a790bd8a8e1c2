"""Objects that Python's cyclic garbage collector need not see.

It visits all that it tracks: with a million entries in memory one full collection stops the process for a
tenth of a second or more.
"""

import ctypes

_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes = [ctypes.py_object]
_untrack.restype = None


def untrack(thing: object) -> None:
    """Take an object out of the collector's sight. It is still freed when the last reference goes; only a cycle that it is part of
    would never be, so whoever makes one must break it."""
    _untrack(thing)
