"""The gRPC face of monitor."""
