-- name: review.add
-- version: 1
-- description: Reviews a product. outcome is added; already_reviewed, for a user reviews a product once; unknown_product; unknown_user.
-- class: write
-- write: true
-- idempotent: true
-- one_row: true
-- parameters:
--   product_id: {type: bigint, description: The product.}
--   user_id: {type: bigint, description: Who reviews it.}
--   rating: {type: int, min: 1, max: 5, description: Stars.}
--   body: {type: text, max_length: 5000, default: "", description: What the user says.}
-- tags: ["product:{product_id}", "shown:{product_id}"]
-- columns:
--   outcome: text
--   review_id: bigint
WITH parties AS (
    SELECT (SELECT p.product_id FROM shop.products p WHERE p.product_id = :product_id::bigint) AS product_id,
           (SELECT u.user_id FROM shop.users u WHERE u.user_id = :user_id::bigint) AS user_id
), added AS (
    INSERT INTO shop.reviews (product_id, user_id, rating, body)
    SELECT p.product_id, p.user_id, :rating::integer, :body::text
    FROM parties p WHERE p.product_id IS NOT NULL AND p.user_id IS NOT NULL
    ON CONFLICT (user_id, product_id) DO NOTHING
    RETURNING review_id
)
SELECT CASE
           WHEN p.product_id IS NULL THEN 'unknown_product'
           WHEN p.user_id IS NULL THEN 'unknown_user'
           WHEN added.review_id IS NULL THEN 'already_reviewed'
           ELSE 'added'
       END AS outcome, added.review_id
FROM parties p LEFT JOIN added ON true
