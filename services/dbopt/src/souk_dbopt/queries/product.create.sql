-- name: product.create
-- version: 1
-- description: Adds a product with its images. outcome is created, unknown_seller (or one that sells no more) or unknown_category.
-- class: write
-- write: true
-- one_row: true
-- parameters:
--   seller_id: {type: bigint, description: Who sells it.}
--   category_id: {type: int, description: A leaf of the tree of categories.}
--   title: {type: text, min_length: 1, max_length: 200, description: "1 to 200 characters."}
--   description: {type: text, max_length: 20000, default: "", description: What it is.}
--   price_cents: {type: bigint, min: 0, max: 100000000000, description: "Of one piece, in hundredths of the currency."}
--   currency: {type: text, pattern: "[A-Z]{3}", default: USD, description: "Three capitals, as ISO 4217 has them."}
--   stock: {type: int, min: 0, description: Pieces.}
--   status: {type: text, values: [draft, active], default: active, description: Whether it is shown at once.}
--   attributes: {type: json, default: {}, description: "By name, as {\"colour\": \"red\"}."}
--   image_ids: {type: "text[]", default: [], max_items: 100, min_length: 1, max_length: 64, description: Images of the imaging service in their order.}
-- tags: ["seller_products:{seller_id}", "category_products:{category_id}"]
-- columns:
--   outcome: text
--   product_id: bigint
--   version: bigint
WITH owner AS (
    SELECT (SELECT s.seller_id FROM shop.sellers s WHERE s.seller_id = :seller_id::bigint AND s.is_active) AS seller_id,
           (SELECT c.category_id FROM shop.categories c WHERE c.category_id = :category_id::integer) AS category_id
), product AS (
    INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, currency, stock, status, attributes)
    SELECT o.seller_id, o.category_id, :title::text, :description::text, :price_cents::bigint, :currency::text, :stock::integer,
           :status::text, :attributes::jsonb
    FROM owner o WHERE o.seller_id IS NOT NULL AND o.category_id IS NOT NULL
    RETURNING product_id, version
), pictures AS (
    INSERT INTO shop.images (product_id, position, image_id)
    SELECT product.product_id, i.position - 1, i.image_id
    FROM product, unnest(:image_ids::text[]) WITH ORDINALITY AS i (image_id, position)
)
SELECT CASE WHEN o.seller_id IS NULL THEN 'unknown_seller' WHEN o.category_id IS NULL THEN 'unknown_category' ELSE 'created' END AS outcome,
       product.product_id, product.version
FROM owner o LEFT JOIN product ON true
