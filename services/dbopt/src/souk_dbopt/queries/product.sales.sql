-- name: product.sales
-- version: 1
-- description: |
--   What was sold of a product in a span of time, by day in UTC and by currency, without orders that were cancelled; days without a sale
--   are left out.
-- class: analytics
-- timeout: 10s
-- parameters:
--   product_id: {type: bigint, description: The product.}
--   since: {type: timestamptz, description: When the span begins.}
--   until: {type: timestamptz, description: "When it ends, excluded."}
-- cache: {namespace: analytics, key: "product.sales:{product_id}", interval: [since, until]}
-- tags: ["figures:product:{product_id}"]
-- columns:
--   day: date
--   currency: text
--   orders: bigint
--   items: bigint
--   cents: bigint
SELECT (o.placed_at AT TIME ZONE 'UTC')::date AS day, o.currency, count(*) AS orders, sum(o.quantity) AS items,
       sum(o.quantity * o.price_cents)::bigint AS cents
FROM shop.order_items o
WHERE o.product_id = :product_id::bigint AND o.placed_at >= :since::timestamptz AND o.placed_at < :until::timestamptz AND NOT o.is_cancelled
GROUP BY 1, 2
ORDER BY 1, 2
