-- name: seller.by_slug
-- version: 1
-- description: A seller by the name in its address, with its figures.
-- class: lookup
-- one_row: true
-- parameters:
--   slug: {type: text, max_length: 120, description: The name in the shop's address.}
-- cache: {namespace: seller_stats, ttl: 1h, key: "slug:{slug}"}
-- tags: ["seller:{seller_id}", "slug:{slug}"]
-- columns:
--   seller_id: bigint
--   user_id: bigint
--   name: text
--   slug: text
--   country: text
--   is_active: bool
--   created_at: timestamptz
--   items_sold: bigint
--   rating: numeric
--   rating_count: bigint
SELECT s.seller_id, s.user_id, s.name, s.slug, s.country, s.is_active, s.created_at, coalesce(t.items_sold, 0) AS items_sold,
       round(t.rating_sum::numeric / nullif(t.rating_count, 0), 2) AS rating, coalesce(t.rating_count, 0) AS rating_count
FROM shop.sellers s
LEFT JOIN shop.seller_stats t ON t.seller_id = s.seller_id
WHERE s.slug = :slug::text
