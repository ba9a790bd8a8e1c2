"""One driver per file."""
