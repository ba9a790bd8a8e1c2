"""The souk command line."""
