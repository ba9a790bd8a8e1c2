-- The newest releases of a project are found, whatever others have.

CREATE INDEX releases_newest ON monitor.releases (project, first_seen DESC);
