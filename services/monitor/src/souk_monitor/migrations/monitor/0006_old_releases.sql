-- Releases that are past their time are found.

CREATE INDEX releases_first_seen ON monitor.releases (first_seen);
