-- name: product.refresh_popularity
-- version: 1
-- description: |
--   Sets the popularity of some products to their views of the last 30 days, today among them. They are the next ones in the order of
--   their ids, after after_id; last_id is where to go on, and null where there were none. dbopt does it by itself, all products in turn, every
--   SOUK_DBOPT_POPULARITY_INTERVAL. Only those whose popularity is off by a tenth or more are written: it is in three indexes. They have no
--   new version, for nobody changed them. In a
--   shop that has no views of these days none are: its popularity is of its own making.
-- class: write
-- write: true
-- idempotent: true
-- one_row: true
-- parameters:
--   after_id: {type: bigint, default: 0, description: The last product of the call before.}
--   limit: {type: int, default: 200, min: 1, max: 10000, description: "Products at the most. They are locked together, each for the whole call."}
-- columns:
--   last_id: bigint
--   products: bigint
--   changed: bigint
WITH batch AS MATERIALIZED (
    SELECT p.product_id, p.popularity
    FROM shop.products p WHERE p.product_id > :after_id::bigint
    ORDER BY p.product_id LIMIT :limit::integer
), counted AS MATERIALIZED (
    SELECT b.product_id, v.views
    FROM batch b
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(v.views), 0)::bigint AS views
        FROM shop.product_views v
        WHERE v.product_id = b.product_id AND v.day > (now() AT TIME ZONE 'UTC')::date - 30 AND v.day <= (now() AT TIME ZONE 'UTC')::date
    ) v
    WHERE v.views <> b.popularity AND abs(v.views - b.popularity) * 10 >= b.popularity
      AND (SELECT EXISTS (SELECT FROM shop.product_views w WHERE w.day > (now() AT TIME ZONE 'UTC')::date - 30))
), locked AS MATERIALIZED (
    SELECT p.product_id
    FROM shop.products p WHERE p.product_id IN (SELECT product_id FROM counted)
    ORDER BY p.product_id
    FOR NO KEY UPDATE
), changed AS (
    UPDATE shop.products p SET popularity = c.views
    FROM counted c JOIN locked l ON l.product_id = c.product_id
    WHERE p.product_id = c.product_id
    RETURNING 1
)
SELECT (SELECT max(product_id) FROM batch) AS last_id, (SELECT count(*) FROM batch) AS products, (SELECT count(*) FROM changed) AS changed
