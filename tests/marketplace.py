"""A marketplace of some size in a real database, made by the server itself; the same each time, but that orders end now."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from postgres_servers import PostgresServer
from souk_dbopt.adapters import schema

PRODUCTS = 20_000
SELLERS = 300
USERS = 3_000
CATEGORIES = range(11, 51)

_ROWS = f"""
CREATE FUNCTION pg_temp.h(n bigint, salt int) RETURNS bigint IMMUTABLE LANGUAGE sql
    RETURN (hashint8extended(n, salt) & 2147483647);

INSERT INTO shop.users (wallet, ens_name, display_name)
SELECT '0x' || lpad(to_hex(n), 40, '0'), CASE WHEN n % 3 = 0 THEN 'user' || n || '.eth' END, 'User ' || n
FROM generate_series(1, {USERS}) n;

INSERT INTO shop.sellers (user_id, name, slug, country)
SELECT n, 'Seller ' || n, 'seller-' || n, 'DE' FROM generate_series(1, {SELLERS}) n;

INSERT INTO shop.categories VALUES (1, NULL, 'home', 'Home'), (2, NULL, 'garden', 'Garden');
INSERT INTO shop.categories SELECT n, 1 + n % 2, 'leaf-' || n, 'Leaf ' || n
FROM generate_series({CATEGORIES[0]}, {CATEGORIES[-1]}) n;

INSERT INTO shop.products
    (seller_id, category_id, title, description, price_cents, stock, status, attributes, popularity, created_at)
SELECT 1 + floor({SELLERS} * power(pg_temp.h(n, 1) % 1000 / 1000.0, 3)),
       {CATEGORIES[0]} + pg_temp.h(n, 2) % {len(CATEGORIES)},
       (ARRAY['Red', 'Blue', 'Green', 'Black'])[1 + pg_temp.h(n, 3) % 4] || ' ' ||
           (ARRAY['shoe', 'lamp', 'table', 'kettle', 'mug'])[1 + pg_temp.h(n, 4) % 5],
       CASE WHEN n % 2 = 0 THEN 'Handmade with care. ' ELSE '' END ||
           CASE WHEN n % 500 = 0 THEN 'A vintage piece, vintage indeed.' ELSE 'New.' END,
       100 + pg_temp.h(n, 5) % 5000, pg_temp.h(n, 6) % 4,
       CASE WHEN n % 20 = 7 THEN 'draft' WHEN n % 20 = 8 THEN 'removed' ELSE 'active' END,
       jsonb_build_object('colour', (ARRAY['red', 'blue', 'green'])[1 + pg_temp.h(n, 7) % 3], 'batch', n % 2000),
       100000 / (1 + pg_temp.h(n, 8) % 3000), timestamptz '2026-11-01 12:00Z' - make_interval(mins => (n / 3 * 7)::int)
FROM generate_series(1, {PRODUCTS}) n;

INSERT INTO shop.images (product_id, position, image_id, alt)
SELECT n, p, 'image-' || n || '-' || p, 'Picture ' || p FROM generate_series(1, {PRODUCTS}) n, generate_series(0, 1) p
WHERE n % 7 <> 0;

INSERT INTO shop.orders (buyer_id, request_id, status, total_cents, currency, placed_at)
SELECT 1 + pg_temp.h(n, 9) % 200, 'request-' || n, (ARRAY['placed', 'paid', 'cancelled'])[1 + n % 3], 0,
       (ARRAY['USD', 'EUR'])[1 + n % 2], date_trunc('minute', now()) - make_interval(hours => n / 4)
FROM generate_series(1, 12000) n;
INSERT INTO shop.order_items (order_id, line, product_id, seller_id, quantity, price_cents, currency, placed_at, is_cancelled)
SELECT o.order_id, l, p.product_id, p.seller_id, l, p.price_cents, o.currency, o.placed_at, o.status = 'cancelled'
FROM shop.orders o CROSS JOIN generate_series(1, 2) l
JOIN shop.products p ON p.product_id = 1 + pg_temp.h(o.order_id, l) % {PRODUCTS};
UPDATE shop.orders o SET total_cents = (SELECT sum(quantity * price_cents) FROM shop.order_items i WHERE i.order_id = o.order_id);

INSERT INTO shop.reviews (product_id, user_id, rating, body, created_at)
SELECT 1 + n % 700, 1 + n / 7, 1 + pg_temp.h(n, 10) % 5, 'Review ' || n,
       timestamptz '2026-11-01 12:00Z' - make_interval(mins => n / 5)
FROM generate_series(1, 7000) n;

INSERT INTO shop.product_views (product_id, day, views)
SELECT 1 + n % 1000, date '2026-11-01' + n / 1000, pg_temp.h(n, 11) % 500 FROM generate_series(0, 59999) n;
"""


async def create(connection: asyncpg.Connection) -> None:
    """The roles, the schema and the rows."""
    await schema.migrate(connection)
    await connection.execute(_ROWS)
    await connection.execute("VACUUM (ANALYZE)")


@contextlib.asynccontextmanager
async def connected(
    server: PostgresServer, database: str, user: str = "postgres", **settings: str
) -> AsyncIterator[asyncpg.Connection]:
    """A connection while the body runs."""
    connection = await asyncpg.connect(server.dsn(database, user), server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()
