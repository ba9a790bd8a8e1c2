"""What all Souk servers stand on. Knows no service."""
