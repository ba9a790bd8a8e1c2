"""Types that tests of services share."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from souk_common.testing import RunningServer

Serve = Callable[..., AbstractAsyncContextManager[RunningServer]]
"""Starts a service with settings by name."""
