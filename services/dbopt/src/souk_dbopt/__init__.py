"""Souk dbopt: a catalogue of marketplace queries on PostgreSQL, and what makes them slow."""
