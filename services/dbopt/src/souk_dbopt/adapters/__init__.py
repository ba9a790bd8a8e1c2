"""Drivers: PostgreSQL, and files of queries."""
