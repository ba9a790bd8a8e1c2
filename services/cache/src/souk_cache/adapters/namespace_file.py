"""Namespaces from YAML: those that are shipped, and a file of the user's own on top."""

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from souk_common import yaml_text

from souk_cache.namespaces import Consistency, LoaderPolicy, Namespace, Namespaces

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = "must be a span such as 500ms, 30s, 5m, 2h or 1d"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
BESIDE_VALUE = 32 * 1024
"""Bytes of a message that are kept for what goes with a value: its key, tags and aliases, at the most."""


def _span(value: Any) -> Any:
    """Seconds of a span like 500ms, 30s, 5m, 2h, 1d; or a number of seconds."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)):
        return float(found[1]) * _UNITS[found[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(_SPAN)  # noqa: TRY004 — pydantic tells where it is of a ValueError
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
    time_buckets: bool = False
    bucket_grace: Span = Field(60.0, ge=0, le=86400)
    loader: _Loader | None = None
    refresh_beta: float = Field(1.0, ge=0, le=10)
    warm: _Warm = _Warm()

    @model_validator(mode="after")
    def _has_names_of_one_kind(self) -> Self:
        if self.time_buckets and self.aliases:
            raise ValueError("aliases: must be none where time_buckets is true")
        return self

    def fields(self) -> dict[str, Any]:
        """As Namespace takes them."""
        return {
            **self.model_dump(exclude={"warm"}),
            "aliases": {kind: each.ignore_case for kind, each in self.aliases.items()},
            "loader": self.loader.policy() if self.loader else None,
            "warm_hottest": self.warm.hottest,
        }


def load(path: Path | None, *, max_message_bytes: int) -> Namespaces:
    """The shipped namespaces, with those of `path` on top. max_message_bytes: of the largest message; any value must fit into one.

    ValueError for a file that is not as it must be; it names the file, and each field that is wrong with what is allowed there.
    """
    shipped = (resources.files("souk_cache") / "namespaces.yaml").read_text()
    merged: dict[str, dict[str, Any]] = _read(shipped, "namespaces.yaml")
    if path is not None:
        for name, fields in _read(path.read_text(), str(path)).items():
            merged[name] = {**merged.get(name, {}), **fields}
    known, problems = {}, []
    for name, fields in merged.items():
        if not _NAME.fullmatch(name):
            problems.append(f"namespace {name!r}: its name must be a-z, 0-9 and _, at most 63, beginning with a letter")
            continue
        try:
            known[name] = Namespace(name, **_Entry.model_validate(fields).fields())
        except ValidationError as error:
            problems += [f"namespace {name}: {problem}" for problem in _problems(error)]
            continue
        if known[name].max_value_bytes > max_message_bytes - BESIDE_VALUE:
            problems.append(
                f"namespace {name}: max_value_bytes: must be at most {max_message_bytes - BESIDE_VALUE:,} "
                f"where SOUK_CACHE_MAX_MESSAGE_BYTES is {max_message_bytes:,}"
            )
    if problems:
        raise ValueError("\n".join(f"{path or 'namespaces.yaml'}: {problem}" for problem in problems))
    return Namespaces(known)


def _read(text: str, where: str) -> dict[str, dict[str, Any]]:
    try:
        content = yaml_text.load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: {error}") from error
    found = content.get("namespaces") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(k, str) and isinstance(v, dict) for k, v in found.items()):
        raise ValueError(f"{where}: must be `namespaces:` with the fields of each under its name, as `product: {{ttl: 5m}}`")
    return found


_TYPES = {"bool": "true or false", "int": "a whole number", "float": "a number", "string": "a text", "path": "a path"}


def _problems(error: ValidationError) -> list[str]:
    """A line for each field that is wrong: where it is, and what it may be."""
    told: dict[str, str] = {}
    for each in error.errors(include_url=False):
        path = [str(part) for part in each["loc"] if part not in ("bool", "_Tls", "[key]")]
        field = ".".join(path)
        told.setdefault(field, _problem(each["type"], each.get("ctx", {}), each["msg"], path))
    return [f"{field}: {problem}" if field else problem for field, problem in told.items()]


def _problem(kind: str, context: dict[str, Any], message: str, path: list[str]) -> str:
    model = _model_at(path[:-1])
    field = model.model_fields.get(path[-1]) if path else None
    limits = _limits(field.metadata) if field is not None else ""
    match kind:
        case "extra_forbidden":
            return f"there is no such field; those there are: {', '.join(model.model_fields)}"
        case "missing":
            return "must be given"
        case "value_error":
            problem = str(context["error"])
            return f"{problem}, {limits}" if problem == _SPAN and limits else problem
        case "enum":
            return f"must be {context['expected'].replace(chr(39), '')}"
        case "greater_than" | "greater_than_equal" | "less_than_equal" | "finite_number":
            return f"must be {limits}"
        case "string_pattern_mismatch":
            is_method = path[-1].endswith("method")
            return (
                "must be a method, as package.Service/Method" if is_method else f"must be a name that matches {context['pattern']}"
            )
        case "too_long":
            return f"must be at most {context['max_length']}"
        case "string_too_short":
            return "must not be empty"
    name = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    return f"must be {_TYPES[name]}" if name in _TYPES else message[:1].lower() + message[1:]


def _model_at(path: list[str]) -> type[BaseModel]:
    match path:
        case ["loader"]:
            return _Loader
        case ["loader", "tls"]:
            return _Tls
        case ["warm"]:
            return _Warm
        case ["aliases", _]:
            return _AliasKind
    return _Entry


def _limits(metadata: list[Any]) -> str:
    """The range of a number or a span."""
    spans = any(isinstance(each, BeforeValidator) for each in metadata)
    words = []
    for each in metadata:
        match each:
            case Gt():
                words.append("more than 0" if not each.gt else f"more than {_written(each.gt, spans=spans)}")
            case Ge():
                words.append(f"at least {_written(each.ge, spans=spans)}")
            case Le():
                words.append(f"at most {_written(each.le, spans=spans)}")
    return ", ".join(words)


def _written(number: Any, *, spans: bool) -> str:
    if not spans or not number:
        return f"{number:,}"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if number % _UNITS[unit] == 0)
    return f"{number / _UNITS[unit]:g}{unit}"
