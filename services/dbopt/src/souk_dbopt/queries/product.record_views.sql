-- name: product.record_views
-- version: 1
-- description: |
--   Counts views of products on today's day of UTC, of many at once: a backend adds up what its pages showed, and sends it every few seconds. Products that
--   there are not are left out; unknown_products says how many. Rows are locked in the order of product ids. What is shown of views is of
--   the last product.refresh_popularity, and makes nothing in the cache go.
-- class: write
-- write: true
-- one_row: true
-- parameters:
--   product_ids: {type: "bigint[]", min_items: 1, max_items: 1000, description: What was looked at. One that is named twice is counted twice.}
--   views: {type: "int[]", min: 0, max: 1000000, max_items: 1000, as_many_as: product_ids, description: How often each was.}
-- columns:
--   recorded: bigint
--   unknown_products: bigint
WITH seen AS MATERIALIZED (
    SELECT line.product_id, sum(line.views) AS views
    FROM unnest(:product_ids::bigint[], :views::integer[]) AS line (product_id, views)
    GROUP BY line.product_id
), recorded AS (
    INSERT INTO shop.product_views AS kept (product_id, day, views)
    SELECT s.product_id, (now() AT TIME ZONE 'UTC')::date, s.views
    FROM seen s JOIN shop.products p ON p.product_id = s.product_id
    WHERE s.views > 0
    ORDER BY s.product_id
    ON CONFLICT (product_id, day) DO UPDATE SET views = kept.views + excluded.views
    RETURNING 1
)
SELECT (SELECT count(*) FROM recorded) AS recorded,
       (SELECT count(*) FROM seen s WHERE NOT EXISTS (SELECT FROM shop.products p WHERE p.product_id = s.product_id)) AS unknown_products
