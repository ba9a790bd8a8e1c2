"""The HTTP face of imaging: what browsers and CDNs fetch."""
