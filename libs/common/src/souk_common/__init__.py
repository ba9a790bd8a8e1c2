"""What all Souk servers stand on. Knows no service."""

import os

# Before anything imports grpc. gRPC's handlers of fork() lock and stop its threads, in a child that only calls exec: uvloop forks
# for a subprocess, and in 4,646 spawns of a server under load one child aborted in them. Nothing here uses gRPC after a fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
