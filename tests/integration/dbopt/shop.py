"""A small shop in a database, made by plain SQL, and dbopt on it in the test's own loop."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from souk.client import ClientConfig, DbClient
from souk_common.testing import RunningServer, running_server
from souk_dbopt.app import open_app
from souk_dbopt.settings import DboptSettings

BUYERS, SELLERS, PRODUCTS = 20, 4, 120
SHOP = """
INSERT INTO shop.users (wallet, display_name, ens_name)
    SELECT '0x' || lpad(n::text, 40, '0'), 'user ' || n, 'user-' || n || '.eth' FROM generate_series(1, 24) n;
INSERT INTO shop.sellers (user_id, name, slug, country)
    SELECT 20 + n, 'Seller ' || n, 'seller-' || n, 'DE' FROM generate_series(1, 4) n;
INSERT INTO shop.categories (category_id, parent_id, slug, name)
    VALUES (1, NULL, 'shoes', 'Shoes'), (2, 1, 'boots', 'Boots'), (3, 1, 'sandals', 'Sandals');
INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, stock, attributes, popularity, created_at)
    SELECT 1 + n % 4, 2 + n % 2, (ARRAY['Red', 'Green', 'Blue'])[1 + n % 3] || ' shoe ' || n, 'Made of leather, number ' || n,
           100 * (1 + n * 37 % 120), 10, jsonb_build_object('colour', (ARRAY['red', 'green', 'blue'])[1 + n % 3]), n * 53 % 120,
           '2026-01-01'::timestamptz + n * interval '1 hour'
    FROM generate_series(1, 120) n;
INSERT INTO shop.images (product_id, position, image_id)
    SELECT product_id, position, 'image-' || product_id || '-' || position
    FROM shop.products, generate_series(0, 1) AS position WHERE product_id % 5 <> 0;
INSERT INTO shop.reviews (product_id, user_id, rating, body)
    SELECT product_id, u, 1 + (product_id + u) % 5, 'Fine, said ' || u
    FROM shop.products, generate_series(1, 7) u WHERE product_id <= 10;
ANALYZE;
"""


async def fill(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Put the shop into a migrated database."""
    await owner.execute(SHOP)


@contextlib.asynccontextmanager
async def dbopt(dsn: str, **settings: Any) -> AsyncIterator[RunningServer]:
    """dbopt on a database, while the body runs."""
    chosen = {"port": 0, "drain_grace": 5.0, "trace_ratio": 0.0, "check_interval": 0.2, **settings}
    async with running_server(DboptSettings(dsn=dsn, **chosen), "dbopt", open_app) as running:
        yield running


@contextlib.asynccontextmanager
async def client_of(server: RunningServer, **config: Any) -> AsyncIterator[DbClient]:
    """A client of it."""
    async with DbClient(config=ClientConfig(target=server.addresses.grpc, **config)) as client:
        yield client
