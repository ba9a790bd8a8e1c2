"""What the client package shows to those who use it."""

import inspect

import souk.client
from souk.client import SoukError


def test_all_is_exactly_what_is_exported():
    public = {name for name, value in vars(souk.client).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == set(souk.client.__all__)


def test_all_has_no_repeats_and_is_sorted():
    assert sorted(set(souk.client.__all__)) == sorted(souk.client.__all__)


def test_every_error_is_a_souk_error_and_drawn_in_the_tree():
    tree = (inspect.getdoc(inspect.getmodule(SoukError)) or "").split()
    errors = [name for name in souk.client.__all__ if name.endswith("Error")]
    assert all(issubclass(getattr(souk.client, name), SoukError) for name in errors)
    assert set(errors) <= set(tree)
