"""A service's subprocesses are not held up by gRPC's handlers of fork()."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["souk_imaging.__main__", "souk_cache.__main__", "souk_dbopt.__main__", "souk_cli.connection", "souk_cli.up"]
)
def test_fork_support_is_off_before_a_service_imports_grpc(module: str):
    program = f"""
import builtins, os, sys
real = builtins.__import__
def watched(name, *rest):
    if name.partition(".")[0] == "grpc":
        assert os.environ["GRPC_ENABLE_FORK_SUPPORT"] == "0", "grpc was imported before"
    return real(name, *rest)
builtins.__import__ = watched
import {module}
assert "grpc" in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
