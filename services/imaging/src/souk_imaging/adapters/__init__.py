"""One driver per file: object stores, worker processes, the local file system."""
