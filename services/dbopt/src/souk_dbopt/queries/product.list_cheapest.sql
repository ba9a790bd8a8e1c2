-- name: product.list_cheapest
-- version: 1
-- description: A page of products for sale, the cheapest first, each with its seller's figures and its first image.
-- class: listing
-- parameters:
--   category_id: {type: int, nullable: true, description: Of this category (a leaf of the tree).}
--   seller_id: {type: bigint, nullable: true, description: Of this seller.}
--   min_price_cents: {type: bigint, nullable: true, min: 0, description: At this price or dearer.}
--   max_price_cents: {type: bigint, nullable: true, min: 0, description: At this price or cheaper.}
--   attributes: {type: json, nullable: true, max_length: 2000, description: "With all of these, as {\"colour\": \"red\"}."}
--   in_stock: {type: bool, default: false, description: Only what can be bought now.}
--   after_price_cents: {type: bigint, nullable: true, description: price_cents of the last product of the page before.}
--   after_id: {type: bigint, nullable: true, description: product_id of that product.}
--   page_size: {type: int, default: 50, min: 1, max: 201, description: "Products at the most; one more than is shown tells if there is more."}
-- page: {size: page_size, after: {after_price_cents: price_cents, after_id: product_id}}
-- cache: {namespace: search, ttl: 5m}
-- tags: ["category_products:{category_id}", "seller_products:{seller_id}", "seller:{seller_id}", "seller_names", "shown:{product_id}"]
-- columns:
--   product_id: bigint
--   category_id: int
--   title: text
--   price_cents: bigint
--   currency: text
--   stock: int
--   rating: numeric
--   rating_count: int
--   popularity: bigint
--   created_at: timestamptz
--   seller_id: bigint
--   seller_name: text
--   seller_slug: text
--   seller_rating: numeric
--   seller_rating_count: bigint
--   seller_items_sold: bigint
--   image_id: text
--   image_alt: text
SELECT p.product_id, p.category_id, p.title, p.price_cents, p.currency, p.stock,
       round(p.rating_sum::numeric / nullif(p.rating_count, 0), 2) AS rating, p.rating_count, p.popularity, p.created_at,
       p.seller_id, s.name AS seller_name, s.slug AS seller_slug,
       round(t.rating_sum::numeric / nullif(t.rating_count, 0), 2) AS seller_rating, coalesce(t.rating_count, 0) AS seller_rating_count,
       coalesce(t.items_sold, 0) AS seller_items_sold, i.image_id, i.alt AS image_alt
FROM (
    SELECT *
    FROM shop.products p
    WHERE p.status = 'active'
      AND (:category_id::integer IS NULL OR p.category_id = :category_id)
      AND (:seller_id::bigint IS NULL OR p.seller_id = :seller_id)
      AND (:min_price_cents::bigint IS NULL OR p.price_cents >= :min_price_cents)
      AND (:max_price_cents::bigint IS NULL OR p.price_cents <= :max_price_cents)
      AND (:attributes::jsonb IS NULL OR p.attributes @> :attributes)
      AND (NOT :in_stock::boolean OR p.stock > 0)
      AND (:after_price_cents::bigint IS NULL OR (p.price_cents, p.product_id) > (:after_price_cents, :after_id::bigint))
    ORDER BY p.price_cents, p.product_id
    LIMIT :page_size::integer
) p
JOIN shop.sellers s ON s.seller_id = p.seller_id
LEFT JOIN shop.seller_stats t ON t.seller_id = p.seller_id
LEFT JOIN LATERAL (
    SELECT image_id, alt FROM shop.images WHERE images.product_id = p.product_id ORDER BY position LIMIT 1
) i ON true
ORDER BY p.price_cents, p.product_id
