-- Issues are found by every release that they were seen in.

CREATE INDEX facets_release ON monitor.facets (value) WHERE kind = 3;
