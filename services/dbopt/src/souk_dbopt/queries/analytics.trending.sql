-- name: analytics.trending
-- version: 1
-- description: The products for sale that were looked at most in a span of days, the most first.
-- class: analytics
-- parameters:
--   since: {type: date, description: The first day.}
--   until: {type: date, description: "The day after the last."}
--   limit: {type: int, default: 20, min: 1, max: 60, description: Products at the most.}
-- cache: {namespace: analytics, ttl: 5m, key: "analytics.trending:{limit}", interval: [since, until]}
-- tags: ["shown:{product_id}"]
-- columns:
--   product_id: bigint
--   title: text
--   price_cents: bigint
--   currency: text
--   seller_id: bigint
--   views: bigint
SELECT v.product_id, p.title, p.price_cents, p.currency, p.seller_id, v.views
FROM (
    SELECT product_id, sum(views)::bigint AS views
    FROM shop.product_views
    WHERE day >= :since::date AND day < :until::date
    GROUP BY product_id
) v
JOIN shop.products p ON p.product_id = v.product_id AND p.status = 'active'
ORDER BY v.views DESC, v.product_id
LIMIT :limit::integer
