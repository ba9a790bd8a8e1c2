"""Souk imaging: photos in, responsive variants out."""
