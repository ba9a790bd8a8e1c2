"""The face that gRPC sees."""
