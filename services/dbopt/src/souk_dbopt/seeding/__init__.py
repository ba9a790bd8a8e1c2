"""Data to try on: a marketplace that is made up, always the same for the same seed, with the skew of a real one."""

from souk_dbopt.seeding.exceptions import (
    InterruptedSeedingError,
    NotOwnerError,
    OtherDataError,
    OtherSeedingError,
    SchemaMissingError,
    SeedingError,
)
from souk_dbopt.seeding.parts import TABLES
from souk_dbopt.seeding.plan import MAX_PRODUCTS, MAX_SEED, MIN_PRODUCTS, Plan
from souk_dbopt.seeding.run import STATISTICS, Report, Seeded, TableProgress, seed

__all__ = [
    "MAX_PRODUCTS",
    "MAX_SEED",
    "MIN_PRODUCTS",
    "STATISTICS",
    "TABLES",
    "InterruptedSeedingError",
    "NotOwnerError",
    "OtherDataError",
    "OtherSeedingError",
    "Plan",
    "Report",
    "SchemaMissingError",
    "Seeded",
    "SeedingError",
    "TableProgress",
    "seed",
]
