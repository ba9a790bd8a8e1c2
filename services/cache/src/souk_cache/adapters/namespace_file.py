"""Namespaces from YAML: those that are shipped, and a file of the user's own on top."""

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from souk_cache.namespaces import Consistency, LoaderPolicy, Namespace, Namespaces

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _span(value: Any) -> Any:
    """Seconds of a span like 500ms, 30s, 5m, 2h, 1d; or a number of seconds."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)):
        return float(found[1]) * _UNITS[found[2]]
    return value


Span = Annotated[float, BeforeValidator(_span)]
Method = Annotated[str, Field(pattern=r"^/?[A-Za-z_][\w.]*/[A-Za-z_]\w*$"), AfterValidator(lambda method: method.removeprefix("/"))]


class _AliasKind(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ignore_case: bool = False


class _Tls(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None


class _Loader(BaseModel):
    model_config = ConfigDict(extra="forbid")
    target: str = Field(min_length=1)
    method: Method
    list_method: Method = ""
    soft_timeout: Span = Field(0.05, gt=0, le=60)
    hard_timeout: Span = Field(2.0, gt=0, le=60)
    concurrency: int = Field(32, ge=1, le=1000)
    tls: bool | _Tls = False
    token_file: Path | None = None
    allow_plaintext: bool = False

    def policy(self) -> LoaderPolicy:
        """As Namespace takes it."""
        fields = self.model_dump(exclude={"tls"})
        if isinstance(self.tls, _Tls):
            fields |= {f"tls_{name}": value for name, value in self.tls.model_dump().items()}
        return LoaderPolicy(**fields, tls=self.tls is not False)


class _Warm(BaseModel):
    model_config = ConfigDict(extra="forbid")
    hottest: int = Field(0, ge=0, le=100_000)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ttl: Span = Field(gt=0, le=30 * 86400)
    negative_ttl: Span = Field(30.0, gt=0, le=86400)
    jitter: float = Field(0.1, ge=0, le=0.5)
    stale_for: Span = Field(0.0, ge=0, le=30 * 86400)
    load_lease: Span = Field(5.0, gt=0, le=300)
    consistency: Consistency = Consistency.STRICT
    unverified_ttl: Span = Field(60.0, gt=0, le=3600)
    max_value_bytes: int = Field(1024 * 1024, gt=0, le=16 * 1024 * 1024)
    compress: bool = True
    aliases: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")], _AliasKind] = Field(default_factory=dict, max_length=8)

    loader: _Loader | None = None
    refresh_beta: float = Field(1.0, ge=0, le=10)
    warm: _Warm = _Warm()

    def fields(self) -> dict[str, Any]:
        """As Namespace takes them."""
        return {
            **self.model_dump(exclude={"warm"}),
            "aliases": {kind: each.ignore_case for kind, each in self.aliases.items()},
            "loader": self.loader.policy() if self.loader else None,
            "warm_hottest": self.warm.hottest,
        }


def load(path: Path | None) -> Namespaces:
    """The shipped namespaces, with those of `path` on top. ValueError, which says where, for a file that is not as it must be."""
    shipped = (resources.files("souk_cache") / "namespaces.yaml").read_text()
    merged: dict[str, dict[str, Any]] = _read(shipped, "namespaces.yaml")
    if path is not None:
        for name, fields in _read(path.read_text(), str(path)).items():
            merged[name] = {**merged.get(name, {}), **fields}
    known = {}
    for name, fields in merged.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{path}: {name!r} cannot be a namespace: a-z, 0-9 and _, at most 63, beginning with a letter")
        try:
            known[name] = Namespace(name, **_Entry.model_validate(fields).fields())
        except ValidationError as error:
            raise ValueError(f"{path}: namespace {name}: {error}") from error
    return Namespaces(known)


def _read(text: str, where: str) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: {error}") from error
    found = content.get("namespaces") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(k, str) and isinstance(v, dict) for k, v in found.items()):
        raise ValueError(f"{where}: must be `namespaces:` with a mapping of fields under each name")
    return found
