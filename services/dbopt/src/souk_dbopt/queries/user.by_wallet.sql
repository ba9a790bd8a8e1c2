-- name: user.by_wallet
-- version: 1
-- description: A user by its wallet, with the shop if there is one.
-- class: lookup
-- one_row: true
-- parameters:
--   wallet: {type: text, max_length: 42, sensitive: true, description: "The wallet's address, as 0xa11c…, in any case."}
-- cache: {namespace: user, ttl: 6h, key: "{user_id}", alias: "wallet:{wallet}", aliases: ["wallet:{wallet}", "ens:{ens_name}"]}
-- tags: ["user:{user_id}"]
-- columns:
--   user_id: bigint
--   wallet: text
--   ens_name: text
--   display_name: text
--   created_at: timestamptz
--   version: bigint
--   seller: json
SELECT u.user_id, u.wallet, u.ens_name, u.display_name, u.created_at, u.version,
       (SELECT json_build_object('seller_id', s.seller_id, 'slug', s.slug, 'name', s.name)
        FROM shop.sellers s WHERE s.user_id = u.user_id) AS seller
FROM shop.users u
WHERE u.wallet = lower(:wallet::text)
