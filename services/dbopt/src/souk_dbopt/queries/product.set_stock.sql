-- name: product.set_stock
-- version: 1
-- description: |
--   Sets how many pieces of a product there are. outcome is set; changed, with the version that it has now, where if_version is another;
--   unknown_product.
-- class: write
-- write: true
-- idempotent: true
-- one_row: true
-- parameters:
--   product_id: {type: bigint, description: The product.}
--   stock: {type: int, min: 0, description: Pieces.}
--   if_version: {type: bigint, nullable: true, description: "Only where it has this version: nobody changed it since it was read."}
-- tags: ["product:{product_id}", "shown:{product_id}"]
-- columns:
--   outcome: text
--   version: bigint
WITH locked AS MATERIALIZED (
    SELECT p.product_id, p.version FROM shop.products p WHERE p.product_id = :product_id::bigint FOR NO KEY UPDATE
), changed AS (
    UPDATE shop.products p SET stock = :stock::integer, version = p.version + 1, updated_at = now()
    FROM locked WHERE p.product_id = locked.product_id AND (:if_version::bigint IS NULL OR locked.version = :if_version)
    RETURNING p.version
)
SELECT CASE WHEN c.version IS NOT NULL THEN 'set' WHEN l.version IS NOT NULL THEN 'changed' ELSE 'unknown_product' END AS outcome,
       coalesce(c.version, l.version) AS version
FROM (SELECT) one LEFT JOIN locked l ON true LEFT JOIN changed c ON true
