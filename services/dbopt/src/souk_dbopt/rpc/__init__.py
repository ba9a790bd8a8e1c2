"""The servicers: validate, map, one call of the core, map back."""
