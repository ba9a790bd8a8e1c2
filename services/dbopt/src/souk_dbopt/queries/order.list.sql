-- name: order.list
-- version: 1
-- description: A page of a user's orders with their items, the newest first.
-- class: listing
-- parameters:
--   buyer_id: {type: bigint, description: The user.}
--   status: {type: text, nullable: true, values: [placed, paid, shipped, delivered, cancelled], description: Only orders of this status.}
--   after_placed_at: {type: timestamptz, nullable: true, description: placed_at of the last order of the page before.}
--   after_id: {type: bigint, nullable: true, description: order_id of that order.}
--   page_size: {type: int, default: 50, min: 1, max: 201, description: "Orders at the most; one more than is shown tells if there is more."}
-- page: {size: page_size, after: {after_placed_at: placed_at, after_id: order_id}}
-- cache: {namespace: order, ttl: 1m}
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
WHERE o.buyer_id = :buyer_id::bigint
  AND (:status::text IS NULL OR o.status = :status)
  AND (:after_placed_at::timestamptz IS NULL OR (o.placed_at, o.order_id) < (:after_placed_at, :after_id::bigint))
ORDER BY o.placed_at DESC, o.order_id DESC
LIMIT :page_size::integer
