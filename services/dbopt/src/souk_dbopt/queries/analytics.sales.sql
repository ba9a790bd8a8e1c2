-- name: analytics.sales
-- version: 1
-- description: |
--   Orders of the whole marketplace in a span of time, by hours, days, weeks (from Monday) or months in UTC, without those that were cancelled;
--   buckets without an order are left out. A bucket that the span begins or ends in counts what is in the span.
-- class: analytics
-- parameters:
--   bucket: {type: text, values: [hour, day, week, month], description: How long a bucket is.}
--   since: {type: timestamptz, description: When the span begins.}
--   until: {type: timestamptz, description: "When it ends, excluded."}
-- cache: {namespace: analytics, key: "analytics.sales:{bucket}", interval: [since, until]}
-- tags: ["figures:sales"]
-- columns:
--   bucket_start: timestamptz
--   currency: text
--   orders: bigint
--   cents: bigint
SELECT date_trunc(:bucket::text, o.placed_at, 'UTC') AS bucket_start, o.currency, count(*) AS orders, sum(o.total_cents)::bigint AS cents
FROM shop.orders o
WHERE o.placed_at >= :since::timestamptz AND o.placed_at < :until::timestamptz AND o.status <> 'cancelled'
GROUP BY 1, 2
ORDER BY 1, 2
