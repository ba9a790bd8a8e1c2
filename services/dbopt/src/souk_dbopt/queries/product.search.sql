-- name: product.search
-- version: 1
-- description: |
--   A page of products for sale whose title or description has the words, the best match first. Words are written as for a web search:
--   "in quotes" is a phrase, or, -not. The 500 most popular products that match are ranked, so that a word which is on every second product
--   costs no more than one that is on a thousand. Pages are of one order while titles, descriptions and popularities stay.
--   The index knows each product's octave: the binary digits of its popularity. Octaves are walked from the most popular product's
--   down, until 500 matches are found. An octave has about twice as many products as the one above, so a step takes as many octaves as
--   are likely to have what is missing, six at the most. The last step, which takes all that are left, does not ask the index for their
--   octaves: it would read their lists, which are the longest, and of the few matches that there are most are new anyhow; unless the
--   words are such that the index has no place to look, as in -red.
--   A step takes 8,192 matches at the most. One that has so many, out of several octaves, is taken again, and they one by one from
--   there: more in one octave are of a shop whose products are all about as popular.
-- class: search
-- parameters:
--   words: {type: text, max_length: 200, description: What is looked for.}
--   category_id: {type: int, nullable: true, description: Of this category (a leaf of the tree).}
--   seller_id: {type: bigint, nullable: true, description: Of this seller.}
--   min_price_cents: {type: bigint, nullable: true, min: 0, description: At this price or dearer.}
--   max_price_cents: {type: bigint, nullable: true, min: 0, description: At this price or cheaper.}
--   attributes: {type: json, nullable: true, max_length: 2000, description: "With all of these, as {\"colour\": \"red\"}."}
--   in_stock: {type: bool, default: false, description: Only what can be bought now.}
--   after_rank: {type: float, nullable: true, description: rank of the last product of the page before.}
--   after_id: {type: bigint, nullable: true, description: product_id of that product.}
--   page_size: {type: int, default: 50, min: 1, max: 201, description: "Products at the most; one more than is shown tells if there is more."}
-- page: {size: page_size, after: {after_rank: rank, after_id: product_id}}
-- cache: {namespace: search, ttl: 5m}
-- tags: ["category_products:{category_id}", "seller_products:{seller_id}", "seller:{seller_id}", "seller_names", "shown:{product_id}"]
-- columns:
--   rank: float
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
WITH RECURSIVE asked AS MATERIALIZED (
    SELECT words, numnode(words) > 0 AS any_words,
           words && coalesce(quote_literal('category ' || :category_id::integer)::tsquery, '')
                 && coalesce(quote_literal('seller ' || :seller_id::bigint)::tsquery, '') AS wanted
    FROM websearch_to_tsquery('english', :words::text) AS words
), walk AS (
    SELECT coalesce((
               SELECT 1 + least(length(ltrim(popularity::bit(64)::text, '0')), 40)
               FROM shop.products WHERE status = 'active' ORDER BY popularity DESC, product_id DESC LIMIT 1
           ), 1) AS octave, 0 AS found, false AS by_one, NULL::bigint[] AS product_ids, NULL::double precision[] AS ranks
    UNION ALL
    SELECT CASE WHEN cut.off THEN walk.octave ELSE next.octave END, CASE WHEN cut.off THEN walk.found ELSE walk.found + step.found END,
           walk.by_one OR cut.off, CASE WHEN NOT cut.off THEN step.product_ids END, CASE WHEN NOT cut.off THEN step.ranks END
    FROM walk
    CROSS JOIN asked
    CROSS JOIN LATERAL (
        SELECT CASE WHEN walk.by_one THEN walk.octave - 1 WHEN tried.octave <= 2 THEN 0 ELSE tried.octave END AS octave
        FROM (SELECT walk.octave - greatest(1, round(log(2, 500.0 / greatest(walk.found, 8)))::integer) AS octave) AS tried
    ) AS next
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS found, max(best.looked_at) AS looked_at, array_agg(best.product_id) AS product_ids,
               array_agg(ts_rank_cd(best.search, asked.words)::double precision) AS ranks
        FROM (
            SELECT matching.product_id, matching.search, count(*) OVER () AS looked_at
            FROM (
                SELECT p.product_id, p.search, p.popularity
                FROM shop.products p
                WHERE p.status = 'active'
                  AND shop.search_terms(p.search, p.popularity, p.category_id, p.seller_id) @@ (
                          asked.wanted && CASE WHEN next.octave = 0 AND querytree(asked.wanted) <> 'T' THEN '' ELSE (
                              SELECT string_agg(quote_literal('popularity ' || each), '|')::tsquery
                              FROM generate_series(next.octave, walk.octave - 1) AS each) END)
                  AND (walk.octave > 40 OR p.popularity < 1::bigint << (walk.octave - 1))
                  AND (:min_price_cents::bigint IS NULL OR p.price_cents >= :min_price_cents)
                  AND (:max_price_cents::bigint IS NULL OR p.price_cents <= :max_price_cents)
                  AND (:attributes::jsonb IS NULL OR p.attributes @> :attributes)
                  AND (NOT :in_stock::boolean OR p.stock > 0)
                LIMIT 8192
            ) AS matching
            ORDER BY matching.popularity DESC, matching.product_id DESC
            LIMIT 500 - walk.found
        ) AS best
    ) AS step
    CROSS JOIN LATERAL (SELECT step.looked_at IS NOT DISTINCT FROM 8192 AND walk.octave - next.octave > 1 AS off) AS cut
    WHERE walk.octave > 0 AND walk.found < 500 AND asked.any_words
), ranked AS (
    SELECT unnest(walk.product_ids) AS product_id, unnest(walk.ranks) AS rank FROM walk
), page AS MATERIALIZED (
    SELECT product_id, rank
    FROM ranked
    WHERE :after_rank::double precision IS NULL OR (rank, product_id) < (:after_rank, :after_id::bigint)
    ORDER BY rank DESC, product_id DESC
    LIMIT :page_size::integer
)
SELECT page.rank,
       p.product_id, p.category_id, p.title, p.price_cents, p.currency, p.stock,
       round(p.rating_sum::numeric / nullif(p.rating_count, 0), 2) AS rating, p.rating_count, p.popularity, p.created_at,
       p.seller_id, s.name AS seller_name, s.slug AS seller_slug,
       round(t.rating_sum::numeric / nullif(t.rating_count, 0), 2) AS seller_rating, coalesce(t.rating_count, 0) AS seller_rating_count,
       coalesce(t.items_sold, 0) AS seller_items_sold, i.image_id, i.alt AS image_alt
FROM page
JOIN shop.products p ON p.product_id = page.product_id
JOIN shop.sellers s ON s.seller_id = p.seller_id
LEFT JOIN shop.seller_stats t ON t.seller_id = p.seller_id
LEFT JOIN LATERAL (
    SELECT image_id, alt FROM shop.images WHERE images.product_id = p.product_id ORDER BY position LIMIT 1
) i ON true
ORDER BY page.rank DESC, page.product_id DESC
