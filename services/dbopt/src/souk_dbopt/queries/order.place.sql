-- name: order.place
-- version: 1
-- description: |
--   Orders what is in a cart, all of it or nothing. outcome is placed; already_placed, with the first order of this buyer and request_id;
--   request_id_reused, with that order, where its cart was another; unknown_product, where something is not for sale; out_of_stock;
--   mixed_currencies; unknown_buyer. products are all that are in the way: too few are left of them, or they are not for sale. Products are
--   locked in the order of their ids, so that carts wait for each other, but never in a circle.
-- class: write
-- write: true
-- idempotent: true
-- one_row: true
-- parameters:
--   buyer_id: {type: bigint, description: Who orders.}
--   request_id: {type: text, min_length: 1, max_length: 128, description: "Chosen by the caller: the same one orders once."}
--   product_ids: {type: "bigint[]", min_items: 1, max_items: 100, description: What is ordered. One that is named twice is ordered twice.}
--   quantities: {type: "int[]", min: 1, max: 10000, max_items: 100, as_many_as: product_ids, description: How many of each.}
-- tags: ["product:{product_ids}", "user:{buyer_id}", "order:{order_id}"]
-- columns:
--   outcome: text
--   order_id: bigint
--   buyer_id: bigint
--   status: text
--   total_cents: bigint
--   currency: text
--   placed_at: timestamptz
--   version: bigint
--   items: json
--   products: json
WITH cart AS MATERIALIZED (
    SELECT line.product_id, sum(line.quantity)::integer AS quantity
    FROM unnest(:product_ids::bigint[], :quantities::integer[]) AS line (product_id, quantity)
    GROUP BY line.product_id
), locked AS MATERIALIZED (
    -- As they are now, not as they were when the statement began: what another buyer took while this one waited is gone
    SELECT p.product_id, p.seller_id, p.price_cents, p.currency, p.stock, p.status
    FROM shop.products p
    WHERE p.product_id = ANY (:product_ids)
      AND NOT EXISTS (SELECT FROM shop.orders o WHERE o.buyer_id = :buyer_id::bigint AND o.request_id = :request_id::text)
    ORDER BY p.product_id
    FOR NO KEY UPDATE OF p
), wanted AS MATERIALIZED (
    SELECT cart.product_id, cart.quantity, l.seller_id, l.price_cents, l.currency, l.stock
    FROM cart LEFT JOIN locked l ON l.product_id = cart.product_id AND l.status = 'active'
), verdict AS MATERIALIZED (
    SELECT CASE
               WHEN NOT EXISTS (SELECT FROM shop.users u WHERE u.user_id = :buyer_id) THEN 'unknown_buyer'
               WHEN bool_or(w.seller_id IS NULL) THEN 'unknown_product'
               WHEN min(w.currency) <> max(w.currency) THEN 'mixed_currencies'
               WHEN bool_or(w.stock < w.quantity) THEN 'out_of_stock'
               ELSE 'placed'
           END AS outcome, sum(w.quantity * w.price_cents)::bigint AS total_cents, min(w.currency) AS currency
    FROM wanted w
), placed AS (
    INSERT INTO shop.orders (buyer_id, request_id, total_cents, currency)
    SELECT :buyer_id, :request_id, v.total_cents, v.currency FROM verdict v WHERE v.outcome = 'placed'
    ON CONFLICT (buyer_id, request_id) DO NOTHING
    RETURNING order_id, total_cents, currency, placed_at
), taken AS (
    UPDATE shop.products p SET stock = p.stock - w.quantity, version = p.version + 1
    FROM wanted w, placed WHERE p.product_id = w.product_id
), items AS (
    INSERT INTO shop.order_items (order_id, line, product_id, seller_id, quantity, price_cents, currency, placed_at)
    SELECT placed.order_id, row_number() OVER (ORDER BY w.product_id), w.product_id, w.seller_id, w.quantity, w.price_cents, w.currency,
           placed.placed_at
    FROM wanted w, placed
    RETURNING line
), found AS MATERIALIZED (
    -- Asked last, and anew: what this statement has written, or another of the same request while this one waited for it, which is not
    -- in this statement's snapshot
    SELECT shop.order_of_request(:buyer_id, :request_id) AS placed_order FROM (SELECT count(*) FROM items) written
), ordered AS (
    SELECT i.product_id, i.quantity
    FROM found CROSS JOIN LATERAL json_to_recordset(found.placed_order -> 'items') AS i (product_id bigint, quantity integer)
)
SELECT CASE
           WHEN o.order_id IS NULL THEN v.outcome
           WHEN EXISTS (SELECT FROM placed) THEN 'placed'
           WHEN EXISTS (
               (SELECT c.product_id, c.quantity FROM cart c EXCEPT SELECT i.product_id, i.quantity FROM ordered i)
               UNION ALL
               (SELECT i.product_id, i.quantity FROM ordered i EXCEPT SELECT c.product_id, c.quantity FROM cart c)
           ) THEN 'request_id_reused'
           ELSE 'already_placed'
       END AS outcome,
       o.order_id, o.buyer_id, o.status, o.total_cents, o.currency, o.placed_at, o.version, o.items,
       CASE WHEN o.order_id IS NULL THEN
           (SELECT json_agg(json_build_object('product_id', w.product_id, 'quantity', w.quantity, 'stock', coalesce(w.stock, 0),
                                              'not_for_sale', w.seller_id IS NULL) ORDER BY w.product_id)
            FROM wanted w WHERE w.seller_id IS NULL OR w.stock < w.quantity)
       END AS products
FROM verdict v
CROSS JOIN found
LEFT JOIN LATERAL json_to_record(found.placed_order) AS o (
    order_id bigint, buyer_id bigint, status text, total_cents bigint, currency text, placed_at timestamptz, version bigint, items json
) ON true
