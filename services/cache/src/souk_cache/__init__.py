"""The cache service: two levels, with invalidation that is exact."""
