"""Souk monitor: every error once, in the right issue."""
