-- Figures that are shown beside products and sellers, kept with the rows that they count, whoever writes those.
--
-- Rows are locked in the order of their ids, so that two writers may wait for each other, but never both at once.

CREATE FUNCTION shop.count_sales() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO shop.seller_stats AS kept (seller_id, items_sold)
        SELECT seller_id, -sum(quantity) FROM removed WHERE NOT is_cancelled GROUP BY seller_id ORDER BY seller_id
        ON CONFLICT (seller_id) DO UPDATE SET items_sold = kept.items_sold + excluded.items_sold;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO shop.seller_stats AS kept (seller_id, items_sold)
        SELECT seller_id, sum(quantity) FROM added WHERE NOT is_cancelled GROUP BY seller_id ORDER BY seller_id
        ON CONFLICT (seller_id) DO UPDATE SET items_sold = kept.items_sold + excluded.items_sold;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_sales_added AFTER INSERT ON shop.order_items
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION shop.count_sales();
CREATE TRIGGER count_sales_changed AFTER UPDATE ON shop.order_items
    REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION shop.count_sales();
CREATE TRIGGER count_sales_removed AFTER DELETE ON shop.order_items
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION shop.count_sales();

-- What is cancelled is sold no more, and is again when it is not. By the items' own trigger sellers' figures follow.
CREATE FUNCTION shop.cancel_items() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE shop.order_items SET is_cancelled = (n.status = 'cancelled')
    FROM removed o JOIN added n ON n.order_id = o.order_id
    WHERE order_items.order_id = n.order_id AND (n.status = 'cancelled') <> (o.status = 'cancelled');
    RETURN NULL;
END $$;
CREATE TRIGGER cancel_items AFTER UPDATE ON shop.orders
    REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION shop.cancel_items();

-- What a seller was given stays when the product goes.
CREATE FUNCTION shop.count_reviews() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM 1 FROM shop.products WHERE product_id IN (SELECT product_id FROM removed) ORDER BY product_id FOR NO KEY UPDATE;
        WITH less AS (SELECT product_id, count(*) AS ratings, sum(rating) AS stars FROM removed GROUP BY product_id),
        changed AS (
            UPDATE shop.products SET rating_count = rating_count - ratings, rating_sum = rating_sum - stars, version = version + 1
            FROM less WHERE products.product_id = less.product_id RETURNING seller_id, ratings, stars
        )
        INSERT INTO shop.seller_stats AS kept (seller_id, rating_count, rating_sum)
        SELECT seller_id, -sum(ratings), -sum(stars) FROM changed GROUP BY seller_id ORDER BY seller_id
        ON CONFLICT (seller_id) DO UPDATE SET rating_count = kept.rating_count + excluded.rating_count,
                                              rating_sum = kept.rating_sum + excluded.rating_sum;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM 1 FROM shop.products WHERE product_id IN (SELECT product_id FROM added) ORDER BY product_id FOR NO KEY UPDATE;
        WITH more AS (SELECT product_id, count(*) AS ratings, sum(rating) AS stars FROM added GROUP BY product_id),
        changed AS (
            UPDATE shop.products SET rating_count = rating_count + ratings, rating_sum = rating_sum + stars, version = version + 1
            FROM more WHERE products.product_id = more.product_id RETURNING seller_id, ratings, stars
        )
        INSERT INTO shop.seller_stats AS kept (seller_id, rating_count, rating_sum)
        SELECT seller_id, sum(ratings), sum(stars) FROM changed GROUP BY seller_id ORDER BY seller_id
        ON CONFLICT (seller_id) DO UPDATE SET rating_count = kept.rating_count + excluded.rating_count,
                                              rating_sum = kept.rating_sum + excluded.rating_sum;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_reviews_added AFTER INSERT ON shop.reviews
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION shop.count_reviews();
CREATE TRIGGER count_reviews_changed AFTER UPDATE ON shop.reviews
    REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION shop.count_reviews();
CREATE TRIGGER count_reviews_removed AFTER DELETE ON shop.reviews
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION shop.count_reviews();

-- only triggers call them
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA shop FROM PUBLIC;
