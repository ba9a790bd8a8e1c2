-- Indexes besides those of the primary keys. Each says what it serves: `serves` names queries of the catalogue, `guards` a rule.

-- Listings: a page is read from one index, in its order, with the columns that break ties last.
CREATE INDEX products_newest ON shop.products (created_at DESC, product_id DESC) WHERE status = 'active';
COMMENT ON INDEX shop.products_newest IS 'serves product.list_newest';
CREATE INDEX products_by_price ON shop.products (price_cents, product_id) WHERE status = 'active';
COMMENT ON INDEX shop.products_by_price IS 'serves product.list_cheapest, product.list_dearest';
CREATE INDEX products_popular ON shop.products (popularity DESC, product_id DESC) WHERE status = 'active';
COMMENT ON INDEX shop.products_popular IS 'serves product.list_popular, product.search';
CREATE INDEX products_category_newest ON shop.products (category_id, created_at DESC, product_id DESC) WHERE status = 'active';
COMMENT ON INDEX shop.products_category_newest IS 'serves product.list_newest of one category';
CREATE INDEX products_category_by_price ON shop.products (category_id, price_cents, product_id) WHERE status = 'active';
COMMENT ON INDEX shop.products_category_by_price IS 'serves product.list_cheapest, product.list_dearest of one category';
CREATE INDEX products_category_popular ON shop.products (category_id, popularity DESC, product_id DESC) WHERE status = 'active';
COMMENT ON INDEX shop.products_category_popular IS 'serves product.list_popular of one category';
CREATE INDEX products_seller_newest ON shop.products (seller_id, created_at DESC, product_id DESC);
COMMENT ON INDEX shop.products_seller_newest IS 'serves product.list_newest of one seller, seller.dashboard';
-- A search looks into it a few times, and each time would read all that waits to be put into it: nothing waits.
CREATE INDEX products_search ON shop.products USING gin (shop.search_terms(search, popularity, category_id, seller_id))
    WITH (fastupdate = off) WHERE status = 'active';
COMMENT ON INDEX shop.products_search IS 'serves product.search';
CREATE INDEX products_attributes ON shop.products USING gin (attributes jsonb_path_ops) WHERE status = 'active';
COMMENT ON INDEX shop.products_attributes IS 'serves product.list_newest, product.list_cheapest, product.list_dearest, product.list_popular with rare attributes';

-- Users and sellers by what people know them by.
CREATE UNIQUE INDEX users_wallet ON shop.users (wallet);
COMMENT ON INDEX shop.users_wallet IS 'serves user.by_wallet; guards that a wallet is of one user';
CREATE UNIQUE INDEX users_ens_name ON shop.users (ens_name) WHERE ens_name IS NOT NULL;
COMMENT ON INDEX shop.users_ens_name IS 'serves user.by_ens_name; guards that an ENS name is of one user';
CREATE UNIQUE INDEX sellers_user ON shop.sellers (user_id);
COMMENT ON INDEX shop.sellers_user IS 'serves user.get; guards that a user is one seller at the most';
CREATE UNIQUE INDEX sellers_slug ON shop.sellers (slug);
COMMENT ON INDEX shop.sellers_slug IS 'serves seller.by_slug; guards that a slug is of one seller';
CREATE UNIQUE INDEX categories_slug ON shop.categories (slug);
COMMENT ON INDEX shop.categories_slug IS 'guards that a slug is of one category';
CREATE INDEX categories_parent ON shop.categories (parent_id);
COMMENT ON INDEX shop.categories_parent IS 'guards the tree when a category goes';

-- Orders and what was sold.
CREATE UNIQUE INDEX orders_request ON shop.orders (buyer_id, request_id);
COMMENT ON INDEX shop.orders_request IS 'serves order.place; guards that a request orders once';
CREATE INDEX orders_buyer_newest ON shop.orders (buyer_id, placed_at DESC, order_id DESC);
COMMENT ON INDEX shop.orders_buyer_newest IS 'serves order.list';
CREATE INDEX orders_placed ON shop.orders (placed_at) INCLUDE (total_cents, currency, status);
COMMENT ON INDEX shop.orders_placed IS 'serves analytics.sales';
CREATE INDEX order_items_seller ON shop.order_items (seller_id, placed_at DESC) INCLUDE (product_id, quantity, price_cents, currency)
    WHERE NOT is_cancelled;
COMMENT ON INDEX shop.order_items_seller IS 'serves seller.dashboard';
CREATE INDEX order_items_product ON shop.order_items (product_id, placed_at DESC) INCLUDE (quantity, price_cents, currency, is_cancelled);
COMMENT ON INDEX shop.order_items_product IS 'serves product.sales; guards orders when a product goes';

-- Reviews and views.
CREATE INDEX reviews_product_newest ON shop.reviews (product_id, created_at DESC, review_id DESC) INCLUDE (rating);
COMMENT ON INDEX shop.reviews_product_newest IS 'serves product.get, review.list';
CREATE UNIQUE INDEX reviews_user_product ON shop.reviews (user_id, product_id);
COMMENT ON INDEX shop.reviews_user_product IS 'guards that a user reviews a product once';
CREATE INDEX product_views_day ON shop.product_views (day, product_id) INCLUDE (views);
COMMENT ON INDEX shop.product_views_day IS 'serves analytics.trending';
