-- Every statement that changes what a cached query shows tells which tags that touches, whoever makes it. docs/dbopt.md has the table.
--
-- Of old values and of new ones: what moves from one category to another touches both. Only of the rows that change: what is looked up
-- elsewhere may be changed by another transaction before this one commits, and then neither would tell. 5,001 tags are enough to know
-- that they are too many, so that no statement is looked at further than that.

CREATE FUNCTION shop.tell_products() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
    kinds CONSTANT text[] := ARRAY['product:*', 'shown:*', 'seller_products:*', 'category_products:*', 'titled:*'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        touched := ARRAY(
            SELECT unnest(ARRAY['product:' || product_id, 'shown:' || product_id, 'seller_products:' || seller_id,
                                'category_products:' || category_id])
            FROM added LIMIT 5001);
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY(
            SELECT unnest(ARRAY['product:' || product_id, 'shown:' || product_id, 'seller_products:' || seller_id,
                                'category_products:' || category_id])
            FROM removed LIMIT 5001);
    ELSIF TG_OP = 'UPDATE' THEN
        -- Not popularity: it is refreshed for all products at once, and is of the last refresh anyway
        touched := ARRAY(
            SELECT unnest(ARRAY[
                'product:' || coalesce(n.product_id, o.product_id), 'shown:' || coalesce(n.product_id, o.product_id),
                'seller_products:' || o.seller_id, 'seller_products:' || n.seller_id]
                || CASE WHEN (o.product_id, o.seller_id, o.category_id, o.status)
                             IS DISTINCT FROM (n.product_id, n.seller_id, n.category_id, n.status)
                        THEN ARRAY['category_products:' || o.category_id, 'category_products:' || n.category_id] END
                || CASE WHEN o.title <> n.title THEN ARRAY['titled:' || n.product_id] END)  -- in orders
            FROM removed o FULL JOIN added n ON n.product_id = o.product_id
            WHERE (o.product_id, o.seller_id, o.category_id, o.title, o.description, o.price_cents, o.currency, o.stock, o.status,
                   o.attributes, o.rating_count, o.rating_sum, o.created_at, o.updated_at, o.version)
                  IS DISTINCT FROM
                  (n.product_id, n.seller_id, n.category_id, n.title, n.description, n.price_cents, n.currency, n.stock, n.status,
                   n.attributes, n.rating_count, n.rating_sum, n.created_at, n.updated_at, n.version)
            LIMIT 5001);
    ELSE
        touched := kinds;
    END IF;
    PERFORM souk.tell(touched, kinds);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_sellers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
    kinds CONSTANT text[] := ARRAY['seller:*', 'slug:*', 'user:*', 'seller_names'];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := kinds;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(SELECT unnest(ARRAY['seller:' || seller_id, 'slug:' || slug, 'user:' || user_id]) FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(
            SELECT unnest(ARRAY['seller:' || seller_id, 'slug:' || slug, 'user:' || user_id]) FROM removed LIMIT 5001);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Lists show the name and the slug beside each product; they are too many names for a tag of each
        touched := touched || ARRAY(
            SELECT 'seller_names' FROM removed o JOIN added n ON n.seller_id = o.seller_id
            WHERE (n.name, n.slug) IS DISTINCT FROM (o.name, o.slug) LIMIT 1);
    END IF;
    PERFORM souk.tell(touched, kinds);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_seller_stats() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := ARRAY['seller:*'];
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(SELECT 'seller:' || seller_id FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(SELECT 'seller:' || seller_id FROM removed LIMIT 5001);
    END IF;
    PERFORM souk.tell(touched, ARRAY['seller:*']);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_categories() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[] := ARRAY['categories'];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := ARRAY['categories', 'category:*'];
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := touched || ARRAY(SELECT 'category:' || category_id FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(SELECT 'category:' || category_id FROM removed LIMIT 5001);
    END IF;
    IF touched <> ARRAY['categories'] THEN
        PERFORM souk.tell(touched, ARRAY['categories', 'category:*']);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_images() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := ARRAY['product:*', 'shown:*'];
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(SELECT unnest(ARRAY['product:' || product_id, 'shown:' || product_id]) FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(SELECT unnest(ARRAY['product:' || product_id, 'shown:' || product_id]) FROM removed LIMIT 5001);
    END IF;
    PERFORM souk.tell(touched, ARRAY['product:*', 'shown:*']);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_users() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
    kinds CONSTANT text[] := ARRAY['user:*', 'wallet:*', 'ens:*', 'named:*'];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := kinds;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(SELECT unnest(ARRAY['user:' || user_id, 'wallet:' || wallet, 'ens:' || ens_name]) FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(
            SELECT unnest(ARRAY['user:' || user_id, 'wallet:' || wallet, 'ens:' || ens_name]) FROM removed LIMIT 5001);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Reviews show who wrote them
        touched := touched || ARRAY(
            SELECT 'named:' || n.user_id FROM removed o JOIN added n ON n.user_id = o.user_id
            WHERE n.display_name <> o.display_name LIMIT 5001);
    END IF;
    PERFORM souk.tell(touched, kinds);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_orders() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
    kinds CONSTANT text[] := ARRAY['order:*', 'user:*', 'figures:sales'];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := kinds;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(SELECT unnest(ARRAY['order:' || order_id, 'user:' || buyer_id, 'figures:sales']) FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(
            SELECT unnest(ARRAY['order:' || order_id, 'user:' || buyer_id, 'figures:sales']) FROM removed LIMIT 5001);
    END IF;
    PERFORM souk.tell(touched, kinds);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_order_items() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
    kinds CONSTANT text[] := ARRAY['order:*', 'seller_products:*', 'figures:*'];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := kinds;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(
            SELECT unnest(ARRAY['order:' || order_id, 'seller_products:' || seller_id, 'figures:product:' || product_id])
            FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(
            SELECT unnest(ARRAY['order:' || order_id, 'seller_products:' || seller_id, 'figures:product:' || product_id])
            FROM removed LIMIT 5001);
    END IF;
    PERFORM souk.tell(touched, kinds);
    RETURN NULL;
END $$;

CREATE FUNCTION shop.tell_reviews() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        touched := ARRAY['product:*'];
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        touched := ARRAY(SELECT 'product:' || product_id FROM added LIMIT 5001);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        touched := touched || ARRAY(SELECT 'product:' || product_id FROM removed LIMIT 5001);
    END IF;
    PERFORM souk.tell(touched, ARRAY['product:*']);
    RETURN NULL;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['products', 'sellers', 'seller_stats', 'categories', 'images', 'users', 'orders', 'order_items', 'reviews']
    LOOP
        EXECUTE format('CREATE TRIGGER tell_added AFTER INSERT ON shop.%1$I REFERENCING NEW TABLE AS added
                        FOR EACH STATEMENT EXECUTE FUNCTION shop.%2$I()', name, 'tell_' || name);
        EXECUTE format('CREATE TRIGGER tell_changed AFTER UPDATE ON shop.%1$I REFERENCING OLD TABLE AS removed NEW TABLE AS added
                        FOR EACH STATEMENT EXECUTE FUNCTION shop.%2$I()', name, 'tell_' || name);
        EXECUTE format('CREATE TRIGGER tell_removed AFTER DELETE ON shop.%1$I REFERENCING OLD TABLE AS removed
                        FOR EACH STATEMENT EXECUTE FUNCTION shop.%2$I()', name, 'tell_' || name);
        EXECUTE format('CREATE TRIGGER tell_emptied AFTER TRUNCATE ON shop.%1$I
                        FOR EACH STATEMENT EXECUTE FUNCTION shop.%2$I()', name, 'tell_' || name);
    END LOOP;
END $$;

-- only triggers call them
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA shop FROM PUBLIC;
