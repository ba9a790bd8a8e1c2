-- name: product.get
-- version: 1
-- description: What a product's page shows, in one row; whatever its status is.
-- class: lookup
-- one_row: true
-- parameters:
--   product_id: {type: bigint, description: The product.}
-- cache: {namespace: product, ttl: 6h, key: "{product_id}"}
-- tags: ["product:{product_id}", "seller:{seller_id}", "category:{category_id}", "named:{reviews.user_id}"]
-- columns:
--   product_id: bigint
--   category_id: int
--   category_name: text
--   seller_id: bigint
--   title: text
--   description: text
--   price_cents: bigint
--   currency: text
--   stock: int
--   status: text
--   attributes: json
--   popularity: bigint
--   rating: numeric
--   rating_count: int
--   created_at: timestamptz
--   updated_at: timestamptz
--   version: bigint
--   seller: json
--   images: json
--   reviews: json
--   ratings: json
SELECT p.product_id, p.category_id, c.name AS category_name, p.seller_id, p.title, p.description, p.price_cents, p.currency, p.stock,
       p.status, p.attributes, p.popularity, round(p.rating_sum::numeric / nullif(p.rating_count, 0), 2) AS rating, p.rating_count,
       p.created_at, p.updated_at, p.version,
       json_build_object(
           'seller_id', s.seller_id, 'name', s.name, 'slug', s.slug, 'country', s.country, 'created_at', s.created_at,
           'rating', round(t.rating_sum::numeric / nullif(t.rating_count, 0), 2), 'rating_count', coalesce(t.rating_count, 0),
           'items_sold', coalesce(t.items_sold, 0)
       ) AS seller,
       (SELECT coalesce(json_agg(json_build_object('image_id', i.image_id, 'alt', i.alt) ORDER BY i.position), '[]')
        FROM shop.images i WHERE i.product_id = p.product_id) AS images,
       -- The five newest
       (SELECT coalesce(json_agg(r), '[]')
        FROM (SELECT r.review_id, r.user_id, u.display_name, r.rating, r.body, r.created_at
              FROM shop.reviews r JOIN shop.users u ON u.user_id = r.user_id
              WHERE r.product_id = p.product_id ORDER BY r.created_at DESC, r.review_id DESC LIMIT 5) r) AS reviews,
       -- How many gave so many stars
       (SELECT json_build_object(
            '1', count(*) FILTER (WHERE r.rating = 1), '2', count(*) FILTER (WHERE r.rating = 2),
            '3', count(*) FILTER (WHERE r.rating = 3), '4', count(*) FILTER (WHERE r.rating = 4),
            '5', count(*) FILTER (WHERE r.rating = 5))
        FROM shop.reviews r WHERE r.product_id = p.product_id) AS ratings
FROM shop.products p
JOIN shop.categories c ON c.category_id = p.category_id
JOIN shop.sellers s ON s.seller_id = p.seller_id
LEFT JOIN shop.seller_stats t ON t.seller_id = p.seller_id
WHERE p.product_id = :product_id::bigint
