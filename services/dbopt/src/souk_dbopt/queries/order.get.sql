-- name: order.get
-- version: 1
-- description: An order with its items.
-- class: lookup
-- one_row: true
-- parameters:
--   order_id: {type: bigint, description: The order.}
-- cache: {namespace: order, ttl: 1m, key: "{order_id}"}
-- tags: ["user:{buyer_id}", "order:{order_id}", "titled:{items.product_id}"]
-- columns:
--   order_id: bigint
--   buyer_id: bigint
--   status: text
--   total_cents: bigint
--   currency: text
--   placed_at: timestamptz
--   version: bigint
--   items: json
SELECT o.order_id, o.buyer_id, o.status, o.total_cents, o.currency, o.placed_at, o.version,
       (SELECT coalesce(json_agg(json_build_object(
                   'line', i.line, 'product_id', i.product_id, 'title', p.title, 'seller_id', i.seller_id,
                   'quantity', i.quantity, 'price_cents', i.price_cents) ORDER BY i.line), '[]')
        FROM shop.order_items i JOIN shop.products p ON p.product_id = i.product_id
        WHERE i.order_id = o.order_id) AS items
FROM shop.orders o
WHERE o.order_id = :order_id::bigint
