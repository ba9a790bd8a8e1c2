"""Everything that can go wrong when a database is seeded, each with what to do next.

SeedingError
├── SchemaMissingError
├── NotOwnerError
├── OtherDataError
├── OtherSeedingError
└── InterruptedSeedingError
"""


class SeedingError(Exception):
    """The root of the tree."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
        """What to do next, in one sentence."""


class SchemaMissingError(SeedingError):
    """The tables are not there, or not all of them."""


class NotOwnerError(SeedingError):
    """The role may not do it: the tables are another's."""


class OtherDataError(SeedingError):
    """There are rows that no seeding made."""


class OtherSeedingError(SeedingError):
    """The database was seeded by another plan."""


class InterruptedSeedingError(SeedingError):
    """The server refused a batch or went away; what was committed stays."""
