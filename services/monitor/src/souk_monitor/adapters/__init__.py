"""Drivers: PostgreSQL."""
