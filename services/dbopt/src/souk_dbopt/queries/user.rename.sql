-- name: user.rename
-- version: 1
-- description: |
--   Gives a user another ENS name, or none. outcome is renamed, with the name before; taken, where another has it; unknown_user. Of two who take
--   a name at the same moment, one gets a unique violation.
-- class: write
-- write: true
-- idempotent: true
-- one_row: true
-- parameters:
--   user_id: {type: bigint, description: The user.}
--   ens_name: {type: text, min_length: 3, max_length: 255, nullable: true, sensitive: true, description: The name as ENSIP-15 normalises it.}
-- tags: ["user:{user_id}"]
-- columns:
--   outcome: text
--   former_ens_name: text
--   version: bigint
WITH locked AS MATERIALIZED (
    SELECT u.user_id, u.ens_name FROM shop.users u WHERE u.user_id = :user_id::bigint FOR NO KEY UPDATE
), renamed AS (
    UPDATE shop.users u SET ens_name = lower(:ens_name::text), version = u.version + 1
    FROM locked
    WHERE u.user_id = locked.user_id
      AND NOT EXISTS (SELECT FROM shop.users other WHERE other.ens_name = lower(:ens_name) AND other.user_id <> :user_id)
    RETURNING u.version
)
SELECT CASE WHEN l.user_id IS NULL THEN 'unknown_user' WHEN r.version IS NULL THEN 'taken' ELSE 'renamed' END AS outcome,
       l.ens_name AS former_ens_name, r.version
FROM (SELECT) one LEFT JOIN locked l ON true LEFT JOIN renamed r ON true
