-- What the hashes of a project's users are keyed by, so that who they are cannot be guessed from the hashes alone.

ALTER TABLE monitor.projects
    ADD COLUMN secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
