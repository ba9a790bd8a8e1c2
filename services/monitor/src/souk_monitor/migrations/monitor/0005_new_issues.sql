-- How many issues of a project are new, in the hour that began with the first of them.

ALTER TABLE monitor.projects
    ADD COLUMN new_issues       integer NOT NULL DEFAULT 0,
    ADD COLUMN new_issues_since timestamptz;
