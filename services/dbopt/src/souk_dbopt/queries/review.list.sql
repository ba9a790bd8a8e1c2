-- name: review.list
-- version: 1
-- description: A page of a product's reviews, the newest first.
-- class: listing
-- parameters:
--   product_id: {type: bigint, description: The product.}
--   after_created_at: {type: timestamptz, nullable: true, description: created_at of the last review of the page before.}
--   after_id: {type: bigint, nullable: true, description: review_id of that review.}
--   page_size: {type: int, default: 50, min: 1, max: 201, description: "Reviews at the most; one more than is shown tells if there is more."}
-- page: {size: page_size, after: {after_created_at: created_at, after_id: review_id}}
-- cache: {namespace: search, ttl: 5m}
-- tags: ["product:{product_id}", "named:{user_id}"]
-- columns:
--   review_id: bigint
--   user_id: bigint
--   display_name: text
--   rating: int
--   body: text
--   created_at: timestamptz
SELECT r.review_id, r.user_id, u.display_name, r.rating, r.body, r.created_at
FROM (
    SELECT *
    FROM shop.reviews r
    WHERE r.product_id = :product_id::bigint
      AND (:after_created_at::timestamptz IS NULL OR (r.created_at, r.review_id) < (:after_created_at, :after_id::bigint))
    ORDER BY r.created_at DESC, r.review_id DESC
    LIMIT :page_size::integer
) r
JOIN shop.users u ON u.user_id = r.user_id
ORDER BY r.created_at DESC, r.review_id DESC
