"""Projects and their keys, in PostgreSQL."""

import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import orjson
from souk_common.postgres import Pool, Record, Session

from souk_monitor.adapters.new_issues import RESUME_TIME
from souk_monitor.adapters.requests import first_result, keep_result
from souk_monitor.exceptions import KeyUnknownError, ProjectExistsError, ProjectUnknownError
from souk_monitor.projects import Project, ProjectKey, ProjectOptions
from souk_monitor.tracker import Request

_ALL = f"""
SELECT number, name, options::text, disabled, created_at, secret, {RESUME_TIME} AS resume_time FROM monitor.projects ORDER BY name
"""  # noqa: S608 — of constants
_KEYS = """
SELECT project, public_key, label, created_at, revoked_at FROM monitor.project_keys ORDER BY created_at DESC, public_key
"""
_CREATE = """
INSERT INTO monitor.projects (name, options) VALUES ($1, $2::text::jsonb) ON CONFLICT DO NOTHING RETURNING number
"""
_UPDATE = """
UPDATE monitor.projects SET options = options || $2::text::jsonb, disabled = coalesce($3, disabled)
WHERE name = $1 RETURNING number
"""
_ADD_KEY = """
INSERT INTO monitor.project_keys (public_key, project, label)
SELECT $1, number, $3 FROM monitor.projects WHERE name = $2 RETURNING project
"""
_REVOKE = """
UPDATE monitor.project_keys k SET revoked_at = coalesce(k.revoked_at, now())
FROM monitor.projects p WHERE p.number = k.project AND p.name = $1 AND k.public_key = $2 RETURNING k.project
"""


class ProjectRows:
    """monitor.projects and monitor.project_keys."""

    def __init__(self, pool: Pool, default: str, *, new_issues_per_hour: int = 0) -> None:
        """default: the name of a project that is made where it is not there. new_issues_per_hour: of those that say none."""
        self._pool = pool
        self._default = default
        self._new_issues = new_issues_per_hour

    async def all(self) -> Sequence[Project]:
        """Every project, by name."""
        rows = await self._pool.fetch("projects.all", _ALL, (self._new_issues,))
        if not any(row["name"] == self._default for row in rows):
            await self._make_default()
            rows = await self._pool.fetch("projects.all", _ALL, (self._new_issues,))
        keys: dict[int, list[ProjectKey]] = {}
        for row in await self._pool.fetch("projects.keys", _KEYS):
            key = ProjectKey(row["public_key"], row["label"], row["created_at"], row["revoked_at"])
            keys.setdefault(row["project"], []).append(key)
        return [_project(row, keys.get(row["number"], [])) for row in rows]

    async def create(self, name: str, options: ProjectOptions, request: Request) -> None:
        """Make a project with a key. ProjectExistsError, RequestIdReusedError."""
        async with self._pool.transaction() as session:
            if await first_result(session, request) is not None:
                return
            if not await session.fetch("projects.create", _CREATE, (name, _json(options))):
                raise ProjectExistsError(name)
            await _add_key(session, name, "")
            await keep_result(session, request, name)

    async def update(self, name: str, options: ProjectOptions, names: Collection[str], disabled: bool | None) -> None:
        """Change what it takes and keeps: the options of these names, and no others. ProjectUnknownError."""
        if not await self._pool.fetch("projects.update", _UPDATE, (name, _json(options, names), disabled)):
            raise ProjectUnknownError(name)

    async def create_key(self, project: str, label: str, request: Request) -> str:
        """Make one more key; the public key. ProjectUnknownError, RequestIdReusedError."""
        async with self._pool.transaction() as session:
            first = await first_result(session, request)
            if first is not None:
                return first
            key = await _add_key(session, project, label)
            await keep_result(session, request, key)
            return key

    async def revoke_key(self, project: str, public_key: str) -> None:
        """End a key. KeyUnknownError."""
        if not await self._pool.fetch("projects.revoke", _REVOKE, (project, public_key)):
            raise KeyUnknownError(project, public_key)

    async def _make_default(self) -> None:
        async with self._pool.transaction() as session:
            if await session.fetch("projects.create", _CREATE, (self._default, "{}")):
                await _add_key(session, self._default, "")


async def _add_key(session: Session, project: str, label: str) -> str:
    key = secrets.token_hex(16)
    if not await session.fetch("projects.add_key", _ADD_KEY, (key, project, label)):
        raise ProjectUnknownError(project)
    return key


def _project(row: Record, keys: Sequence[ProjectKey]) -> Project:
    options = _options(row["options"])
    return Project(
        row["number"], row["name"], row["created_at"], options, tuple(keys), row["disabled"], row["secret"], row["resume_time"]
    )


def _json(options: ProjectOptions, names: Collection[str] | None = None) -> str:
    """Those of these names, or all."""
    retention = options.retention.total_seconds() if options.retention is not None else None
    kept = {
        "events_per_minute": options.events_per_minute,
        "in_app": options.in_app,
        "sensitive_fields": options.sensitive_fields,
        "keep_emails": options.keep_emails,
        "keep_ip_addresses": options.keep_ip_addresses,
        "retention": retention,
        "allowed_origins": options.allowed_origins,
        "default_service": options.default_service,
        "new_issues_per_hour": options.new_issues_per_hour,
    }
    return orjson.dumps(kept if names is None else {name: kept[name] for name in names}).decode()


def _options(text: str) -> ProjectOptions:
    kept: dict[str, Any] = orjson.loads(text)
    retention, origins = kept.get("retention"), kept.get("allowed_origins")
    return ProjectOptions(
        events_per_minute=kept.get("events_per_minute", 0),
        in_app=tuple(kept.get("in_app", ())),
        sensitive_fields=tuple(kept.get("sensitive_fields", ())),
        keep_emails=kept.get("keep_emails", False),
        keep_ip_addresses=kept.get("keep_ip_addresses", False),
        retention=timedelta(seconds=retention) if retention is not None else None,
        allowed_origins=tuple(origins) if origins is not None else None,
        default_service=kept.get("default_service", ""),
        new_issues_per_hour=kept.get("new_issues_per_hour", 0),
    )
