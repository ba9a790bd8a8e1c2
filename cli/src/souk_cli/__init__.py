"""The souk command line."""

import souk_common as souk_common  # before grpc: PostgreSQL is started by a fork, in which gRPC's handlers would run
