"""YAML that people write, read by libyaml where PyYAML has it: in a tenth of the time.

libyaml takes a little that PyYAML's own reader refuses, as a tab after a colon.
"""

from typing import Any

import yaml

_FAST: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Makes plain values only, as SafeLoader, which says better what is wrong and where."""


def load(text: str) -> Any:
    """What a document says. yaml.YAMLError where it is none."""
    return load_located(text)[0]


def load_located(text: str) -> tuple[Any, yaml.Node | None]:
    """What a document says, and the nodes it is made of, which know their lines. yaml.YAMLError where it is none."""
    try:
        return _read(_FAST(text))
    except yaml.YAMLError:
        return _read(yaml.SafeLoader(text))


def _read(loader: yaml.SafeLoader) -> tuple[Any, yaml.Node | None]:
    try:
        node = loader.get_single_node()
        return (loader.construct_document(node) if node is not None else None), node
    finally:
        loader.dispose()
