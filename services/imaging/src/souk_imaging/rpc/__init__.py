"""The proto face of imaging: validate, map, one call, map back."""
