"""Everything that can go wrong in the cache, as the core says it; errors.py says what a caller is told.

CacheError
├── NamespaceUnknownError
├── AliasKindUnknownError
├── ValueTooLargeError
├── LoaderMissingError
├── LoaderFailedError
└── StoreUnavailableError
"""

from collections.abc import Mapping


class CacheError(Exception):
    """The root of the tree. `metadata` is what the error says of itself, by the names that the proto's ErrorReason documents."""

    def __init__(self, message: str, **metadata: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


class NamespaceUnknownError(CacheError):
    """No namespace has this name."""


class AliasKindUnknownError(CacheError):
    """The namespace has no aliases of this kind."""


class TimeBucketUnreadableError(CacheError):
    """A key of a namespace with time buckets does not end with one."""


class ValueTooLargeError(CacheError):
    """A value has more bytes than its namespace takes."""


class LoaderMissingError(CacheError):
    """The namespace has no loader, or one that lists no keys."""


class LoaderFailedError(CacheError):
    """The loader did not answer in time, ended with an error, or answered what cannot be kept."""


class StoreUnavailableError(CacheError):
    """Redis does not answer."""
