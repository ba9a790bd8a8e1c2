-- name: seller.dashboard
-- version: 1
-- description: |
--   What a seller looks at first, in one row: sales of the last 30 days by day in UTC, of which today is the last; the ten products of
--   which most were sold in them; the twenty that are for sale and of which fewest are left; and what is shown of the seller elsewhere.
--   Orders that were cancelled do not count. revenue is a list of {currency, cents}, by currency.
-- class: analytics
-- one_row: true
-- timeout: 10s
-- parameters:
--   seller_id: {type: bigint, description: The seller.}
--   low_stock: {type: int, default: 5, min: 0, description: A product runs out when fewer than so many are left.}
-- cache: {namespace: seller_stats, ttl: 5m, key: "dashboard:{seller_id}:{low_stock}"}
-- tags: ["seller:{seller_id}", "seller_products:{seller_id}", "shown:{low_stock.product_id}", "shown:{best_sellers.product_id}"]
-- columns:
--   seller: json
--   items_sold: bigint
--   revenue: json
--   days: json
--   best_sellers: json
--   low_stock: json
--   products_for_sale: bigint
WITH today AS (
    SELECT date_trunc('day', now(), 'UTC') AS start
), sold AS MATERIALIZED (
    SELECT o.product_id, date_trunc('day', o.placed_at, 'UTC') AS day, o.currency, o.quantity, o.quantity * o.price_cents AS cents
    FROM shop.order_items o
    WHERE o.seller_id = :seller_id::bigint AND o.placed_at >= (SELECT start - interval '29 days' FROM today) AND NOT o.is_cancelled
), for_sale AS MATERIALIZED (
    SELECT p.product_id, p.title, p.price_cents, p.currency, p.stock, p.rating_sum, p.rating_count, p.created_at
    FROM shop.products p
    WHERE p.seller_id = :seller_id AND p.status = 'active'
)
SELECT json_build_object(
           'seller_id', s.seller_id, 'name', s.name, 'slug', s.slug,
           'rating', round(t.rating_sum::numeric / nullif(t.rating_count, 0), 2), 'rating_count', coalesce(t.rating_count, 0),
           'items_sold', coalesce(t.items_sold, 0)
       ) AS seller,
       (SELECT coalesce(sum(sold.quantity), 0)::bigint FROM sold) AS items_sold,
       (SELECT coalesce(json_agg(json_build_object('currency', r.currency, 'cents', r.cents) ORDER BY r.currency), '[]')
        FROM (SELECT sold.currency, sum(sold.cents)::bigint AS cents FROM sold GROUP BY sold.currency) r) AS revenue,
       (SELECT json_agg(json_build_object('day', (d.day AT TIME ZONE 'UTC')::date, 'items_sold', coalesce(b.items_sold, 0),
                                          'revenue', coalesce(b.revenue, '[]')) ORDER BY d.day)
        FROM today, generate_series(today.start - interval '29 days', today.start, interval '1 day') AS d (day)
        LEFT JOIN (SELECT r.day, sum(r.items_sold) AS items_sold,
                          json_agg(json_build_object('currency', r.currency, 'cents', r.cents) ORDER BY r.currency) AS revenue
                   FROM (SELECT sold.day, sold.currency, sum(sold.quantity) AS items_sold, sum(sold.cents)::bigint AS cents
                         FROM sold GROUP BY sold.day, sold.currency) r
                   GROUP BY r.day) b ON b.day = d.day) AS days,
       (SELECT coalesce(json_agg(b), '[]')
        FROM (SELECT t.product_id, p.title, t.items_sold, t.revenue
              FROM (SELECT r.product_id, sum(r.items_sold) AS items_sold,
                           json_agg(json_build_object('currency', r.currency, 'cents', r.cents) ORDER BY r.currency) AS revenue
                    FROM (SELECT sold.product_id, sold.currency, sum(sold.quantity) AS items_sold, sum(sold.cents)::bigint AS cents
                          FROM sold GROUP BY sold.product_id, sold.currency) r
                    GROUP BY r.product_id ORDER BY items_sold DESC, r.product_id LIMIT 10) t
              JOIN shop.products p ON p.product_id = t.product_id
              ORDER BY t.items_sold DESC, t.product_id) b) AS best_sellers,
       (SELECT coalesce(json_agg(b), '[]')
        FROM (SELECT f.product_id, f.title, f.price_cents, f.currency, f.stock,
                     round(f.rating_sum::numeric / nullif(f.rating_count, 0), 2) AS rating, f.rating_count, f.created_at,
                     (SELECT i.image_id FROM shop.images i WHERE i.product_id = f.product_id ORDER BY i.position LIMIT 1) AS image_id
              FROM for_sale f
              WHERE f.stock < :low_stock::integer
              ORDER BY f.stock, f.product_id LIMIT 20) b) AS low_stock,
       (SELECT count(*) FROM for_sale) AS products_for_sale
FROM shop.sellers s
LEFT JOIN shop.seller_stats t ON t.seller_id = s.seller_id
WHERE s.seller_id = :seller_id
