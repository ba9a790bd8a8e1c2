-- The tables of a marketplace. A shop that has its own leaves this component out, and overrides the queries that read them.
--
-- Money is in hundredths of the currency. Times are with time zone. A version grows with each change of its row.

CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO :"service", :"explain";

CREATE TABLE shop.users (
    user_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet       text NOT NULL CHECK (wallet ~ '^0x[0-9a-f]{40}$'),
    ens_name     text CHECK (ens_name = lower(ens_name) AND length(ens_name) BETWEEN 3 AND 255),
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 100),
    created_at   timestamptz NOT NULL DEFAULT now(),
    version      bigint NOT NULL DEFAULT 1
);
COMMENT ON TABLE shop.users IS 'Everybody who buys or sells, known by a wallet and perhaps by an ENS name.';

CREATE TABLE shop.sellers (
    seller_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES shop.users,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    slug       text NOT NULL CHECK (slug ~ '^[a-z0-9-]{1,120}$'),
    country    text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    is_active  boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE shop.sellers IS 'Users who sell.';

CREATE TABLE shop.seller_stats (
    seller_id    bigint PRIMARY KEY REFERENCES shop.sellers ON DELETE CASCADE,
    items_sold   bigint NOT NULL DEFAULT 0,
    rating_count bigint NOT NULL DEFAULT 0,
    rating_sum   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
COMMENT ON TABLE shop.seller_stats IS 'What is shown beside a seller, kept by triggers on order items and reviews.';

CREATE TABLE shop.categories (
    category_id integer PRIMARY KEY,
    parent_id   integer REFERENCES shop.categories,
    slug        text NOT NULL CHECK (slug ~ '^[a-z0-9-]{1,60}$'),
    name        text NOT NULL
);
COMMENT ON TABLE shop.categories IS 'A tree of two levels; products are in its leaves.';

CREATE TABLE shop.products (
    product_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seller_id    bigint NOT NULL REFERENCES shop.sellers,
    category_id  integer NOT NULL REFERENCES shop.categories,
    title        text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    description  text NOT NULL CHECK (length(description) <= 20000),
    price_cents  bigint NOT NULL CHECK (price_cents >= 0),
    currency     text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    stock        integer NOT NULL CHECK (stock >= 0),
    status       text NOT NULL DEFAULT 'active' CHECK (status IN ('draft', 'active', 'removed')),
    attributes   jsonb NOT NULL DEFAULT '{}',
    popularity   bigint NOT NULL DEFAULT 0 CHECK (popularity >= 0),
    rating_count integer NOT NULL DEFAULT 0,
    rating_sum   integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    version      bigint NOT NULL DEFAULT 1,
    search       tsvector GENERATED ALWAYS AS
        (setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', description), 'C')) STORED
) WITH (fillfactor = 90);
COMMENT ON TABLE shop.products IS 'What is for sale. Stock and ratings are in no index, so that a sale and a review touch none.';
COMMENT ON COLUMN shop.products.popularity IS 'Views of the last 30 days, as of the last refresh, to a tenth.';

CREATE FUNCTION shop.search_terms(search tsvector, popularity bigint, category_id integer, seller_id bigint) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN search || array_to_tsvector(ARRAY[
    'popularity ' || least(length(ltrim(popularity::bit(64)::text, '0')), 40)::text,
    'category ' || category_id::text,
    'seller ' || seller_id::text]);
COMMENT ON FUNCTION shop.search_terms IS 'What a product is searched by: its words, and terms that no word is, for they have a space: its category, its seller, and its octave, which is how many binary digits its popularity has.';
REVOKE EXECUTE ON FUNCTION shop.search_terms FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.search_terms TO :"service", :"explain";

CREATE TABLE shop.images (
    product_id bigint NOT NULL REFERENCES shop.products ON DELETE CASCADE,
    position   smallint NOT NULL CHECK (position BETWEEN 0 AND 99),
    image_id   text NOT NULL CHECK (length(image_id) BETWEEN 1 AND 64),
    alt        text NOT NULL DEFAULT '',
    PRIMARY KEY (product_id, position)
);
COMMENT ON TABLE shop.images IS 'Which images of the imaging service a product has, in their order.';

CREATE TABLE shop.orders (
    order_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    buyer_id    bigint NOT NULL REFERENCES shop.users,
    request_id  text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    status      text NOT NULL DEFAULT 'placed' CHECK (status IN ('placed', 'paid', 'shipped', 'delivered', 'cancelled')),
    total_cents bigint NOT NULL CHECK (total_cents >= 0),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    placed_at   timestamptz NOT NULL DEFAULT now(),
    version     bigint NOT NULL DEFAULT 1
);
COMMENT ON COLUMN shop.orders.request_id IS 'Chosen by the buyer''s client: the same one orders once.';

CREATE TABLE shop.order_items (
    order_id     bigint NOT NULL REFERENCES shop.orders ON DELETE CASCADE,
    line         smallint NOT NULL CHECK (line >= 1),
    product_id   bigint NOT NULL REFERENCES shop.products,
    seller_id    bigint NOT NULL REFERENCES shop.sellers,
    quantity     integer NOT NULL CHECK (quantity >= 1),
    price_cents  bigint NOT NULL CHECK (price_cents >= 0),
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    placed_at    timestamptz NOT NULL DEFAULT now(),
    is_cancelled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (order_id, line)
);
COMMENT ON COLUMN shop.order_items.price_cents IS 'Of one piece, when it was ordered.';
COMMENT ON COLUMN shop.order_items.is_cancelled IS 'Whether its order is. Kept by a trigger on orders, and of items that are added later by who adds them.';

-- As order.get returns it. Volatile, so that it looks with a snapshot of its own: it finds what the calling statement has written, and
-- what was committed since that began.
CREATE FUNCTION shop.order_of_request(buyer bigint, request text) RETURNS json LANGUAGE sql VOLATILE AS $$
    SELECT json_build_object(
        'order_id', o.order_id, 'buyer_id', o.buyer_id, 'status', o.status, 'total_cents', o.total_cents, 'currency', o.currency,
        'placed_at', o.placed_at, 'version', o.version,
        'items', (SELECT json_agg(json_build_object(
                             'line', i.line, 'product_id', i.product_id, 'title', p.title, 'seller_id', i.seller_id,
                             'quantity', i.quantity, 'price_cents', i.price_cents) ORDER BY i.line)
                  FROM shop.order_items i JOIN shop.products p ON p.product_id = i.product_id
                  WHERE i.order_id = o.order_id))
    FROM shop.orders o WHERE o.buyer_id = buyer AND o.request_id = request
$$;
REVOKE EXECUTE ON FUNCTION shop.order_of_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.order_of_request TO :"service";

CREATE TABLE shop.reviews (
    review_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id bigint NOT NULL REFERENCES shop.products ON DELETE CASCADE,
    user_id    bigint NOT NULL REFERENCES shop.users,
    rating     smallint NOT NULL CHECK (rating BETWEEN 1 AND 5),
    body       text NOT NULL CHECK (length(body) <= 5000),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE shop.product_views (
    product_id bigint NOT NULL REFERENCES shop.products ON DELETE CASCADE,
    day        date NOT NULL,
    views      bigint NOT NULL CHECK (views >= 0),
    PRIMARY KEY (product_id, day)
) WITH (fillfactor = 80);

GRANT SELECT ON ALL TABLES IN SCHEMA shop TO :"service", :"explain";
GRANT INSERT, UPDATE, DELETE ON shop.users, shop.sellers, shop.products, shop.images, shop.orders, shop.order_items, shop.reviews,
    shop.product_views TO :"service";
