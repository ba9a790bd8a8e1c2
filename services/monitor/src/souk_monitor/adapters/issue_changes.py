"""What people do with issues, in PostgreSQL. Locks are taken as the store takes them: the project that opens an
issue (by a split), then fingerprints, then issues, by their ids.
"""

from collections.abc import Sequence
from datetime import datetime

from souk_common.postgres import Pool, Record, Session

from souk_monitor.adapters import issue_rows, release_table
from souk_monitor.adapters.requests import first_result, keep_result
from souk_monitor.adapters.user_sets import of_issues
from souk_monitor.exceptions import FieldsError, IssueChangedError, IssueUnknownError, Problem
from souk_monitor.lifecycle import Action, Change, Counted, Ignore, Resolve, act, after_merge
from souk_monitor.overflow import FINGERPRINT
from souk_monitor.searching import words
from souk_monitor.tracker import Remark, Request, Texts, Update

_LOCK = "SELECT * FROM monitor.issues WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"
_LOCK_PROJECT = """
SELECT number FROM monitor.projects WHERE number = (SELECT project FROM monitor.issues WHERE id = $1) FOR NO KEY UPDATE
"""
_LOCK_FINGERPRINTS = """
SELECT id, issue, fingerprint, title, version FROM monitor.fingerprints WHERE issue = ANY ($1::bigint[]) ORDER BY id FOR UPDATE
"""
_ASSIGN = "UPDATE monitor.issues SET assignee = $2 WHERE id = $1"
_TELL = """
UPDATE monitor.issues SET revision = revision + 1, changed = pg_current_xact_id(), told = pg_current_xact_id(), told_change = $2
WHERE id = ANY ($1::bigint[])
"""
_MOVE = "UPDATE monitor.fingerprints SET issue = $2, by_hand = true WHERE issue = ANY ($1::bigint[])"
_MERGED = """
UPDATE monitor.issues SET merged_into = $2, events = 0, users = 0 WHERE id = ANY ($1::bigint[]) OR merged_into = ANY ($1::bigint[])
"""
_MOVE_SOME = "UPDATE monitor.fingerprints SET issue = $2, by_hand = true WHERE id = ANY ($1::bigint[])"
_TAKE_IN = "UPDATE monitor.issues SET severity = $2, handled = $3 WHERE id = $1"
_TAKE_WORDS = """
UPDATE monitor.issue_texts t SET words = t.words || other.words FROM monitor.issue_texts other
WHERE t.issue = $1 AND other.issue = $2 AND length(t.words) < $3
"""
_RECOUNT = f"""
UPDATE monitor.issues i SET events = s.events, users = $2, first_seen = s.first_seen, last_seen = s.last_seen,
    first_release = coalesce(s.first_release, ''), last_release = coalesce(s.last_release, ''),
    ignored_events = i.ignored_events + s.events - i.events, ignored_users = i.ignored_users + $2 - i.users
FROM (
    SELECT sum(events)::bigint AS events, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        (array_agg(first_release ORDER BY first_seen) FILTER (WHERE first_release <> ''))[1] AS first_release,
        (array_agg(last_release ORDER BY last_seen DESC) FILTER (WHERE last_release <> ''))[1] AS last_release
    FROM monitor.fingerprints WHERE issue = $1
) AS s WHERE i.id = $1
RETURNING {issue_rows.COLUMNS}
"""  # noqa: S608 — of constants
"""What is ignored until so many more have come waits for as many as before: what moves with fingerprints has not come."""
_NUMBER = "UPDATE monitor.projects SET issue_count = issue_count + 1 WHERE number = $1 RETURNING issue_count, name"
_COPY = """
INSERT INTO monitor.issues
    (project, number, state, severity, category, platform, handled, events, first_seen, last_seen)
SELECT project, $2, 1, severity, category, platform, handled, 0, first_seen, last_seen FROM monitor.issues WHERE id = $1
RETURNING id
"""
_TEXTS = """
INSERT INTO monitor.issue_texts (issue, title, culprit, type, template, fix_rule, fix_text, fix_evidence, words)
SELECT $2, $3, $4, $5, $6, coalesce($8, fix_rule), coalesce($9, fix_text), coalesce($10, fix_evidence), to_tsvector('simple', $7)
FROM monitor.issue_texts WHERE issue = $1
"""

MOST_WORDS = 10_000
"""Of an issue, by which it is found: those of issues that are merged into it are added up to so many."""


class IssueChangeRows:
    """monitor.issues as people change them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def update(self, issue: int, update: Update, request: Request, now: datetime) -> None:
        """Change an issue, once for a request id. IssueUnknownError, IssueChangedError, FieldsError, RequestIdReusedError."""
        async with self._pool.transaction() as session:
            if await first_result(session, request) is not None:
                return
            _check_until(update.action, now)
            row = (await _lock(session, [issue]))[0]
            if update.revision and row["revision"] != update.revision:
                raise IssueChangedError(str(issue), row["revision"])
            if update.action is not None:
                counted = Counted(row["events"], row["users"], await _newest_release(session, row, update.action))
                await issue_rows.turn(session, issue_rows.hot(row), act(update.action, counted, now), actor=update.actor, now=now)
            if update.assignee is not None:
                await session.fetch("issues.assign", _ASSIGN, (issue, update.assignee))
                await issue_rows.note(session, issue, actor=update.actor, kind="assigned", text=update.assignee, now=now)
            if update.comment:
                await issue_rows.note(session, issue, actor=update.actor, kind="commented", text=update.comment, now=now)
            if update.action is None and (update.assignee is not None or update.comment):
                await session.fetch("issues.tell", _TELL, ([issue], Change.UPDATED))
            await keep_result(session, request, str(issue))

    async def merge(self, issues: Sequence[int], into: int | None, remark: Remark, request: Request, now: datetime) -> int:
        """Make one issue of several of one project, once for a request id; which one is left: `into`, or the one seen first.

        IssueUnknownError, FieldsError, RequestIdReusedError.
        """
        async with self._pool.transaction() as session:
            first = await first_result(session, request)
            if first is not None:
                return int(first)
            left = await _merge(session, issues, into, remark.actor, now)
            await _say(session, [left], remark, now)
            await keep_result(session, request, str(left))
            return left

    async def split(
        self, issue: int, fingerprints: Sequence[bytes], texts: Texts, remark: Remark, request: Request, now: datetime
    ) -> int:
        """Take fingerprints out of an issue into a new one, once for a request id; its id. texts: what that is called.

        IssueUnknownError, FieldsError, RequestIdReusedError.
        """
        async with self._pool.transaction() as session:
            first = await first_result(session, request)
            if first is not None:
                return int(first)
            made = await _split(session, issue, fingerprints, texts, remark.actor, now)
            await _say(session, [issue, made], remark, now)
            await keep_result(session, request, str(made))
            return made


async def _merge(session: Session, issues: Sequence[int], into: int | None, actor: str, now: datetime) -> int:
    locked = await session.fetch("fingerprints.lock", _LOCK_FINGERPRINTS, (issues,))
    rows = await _lock(session, issues)
    if len({row["project"] for row in rows}) > 1:
        raise FieldsError([Problem("issue_ids", "must be of one project")])
    target = into if into is not None else min(rows, key=lambda row: (row["first_seen"], row["id"]))["id"]
    others = [row["id"] for row in rows if row["id"] != target]
    if not others:
        return int(target)
    if any(row["fingerprint"] == FINGERPRINT and row["issue"] != target for row in locked):
        raise FieldsError([Problem("into_issue_id", "must be the issue of too many new issues, which goes into no other")])
    await session.fetch("fingerprints.move", _MOVE, (others, target))
    await session.fetch("issues.merged", _MERGED, (others, target))
    await _take_in(session, rows, target, actor, now)
    await _recount(session, [target], now)
    await session.fetch("issues.tell", _TELL, (others, Change.MERGED))
    await session.fetch("issues.tell", _TELL, ([target], Change.UPDATED))
    told = ", ".join(str(row["number"]) for row in rows if row["id"] != target)
    await issue_rows.note(session, target, actor=actor, kind="merged", text=told, now=now)
    return int(target)


async def _split(session: Session, issue: int, fingerprints: Sequence[bytes], texts: Texts, actor: str, now: datetime) -> int:
    await session.fetch("projects.lock", _LOCK_PROJECT, (issue,))
    known = {row["fingerprint"]: row["id"] for row in await session.fetch("fingerprints.lock", _LOCK_FINGERPRINTS, ([issue],))}
    row = (await _lock(session, [issue]))[0]
    _check_split(known, fingerprints)
    made = await _copy(session, row, texts)
    await session.fetch("fingerprints.move_some", _MOVE_SOME, ([known[each] for each in fingerprints], made))
    await _recount(session, [issue, made], now)
    await session.fetch("issues.tell", _TELL, ([issue], Change.UPDATED))
    told = ", ".join(each.hex() for each in fingerprints)
    for each in (issue, made):
        await issue_rows.note(session, each, actor=actor, kind="split", text=told, now=now)
    return made


async def _say(session: Session, issues: Sequence[int], remark: Remark, now: datetime) -> None:
    for issue in issues if remark.comment else ():
        await issue_rows.note(session, issue, actor=remark.actor, kind="commented", text=remark.comment, now=now)


async def _lock(session: Session, issues: Sequence[int]) -> list[Record]:
    rows = await session.fetch("issues.lock", _LOCK, (sorted(set(issues)),))
    gone = set(issues) - {row["id"] for row in rows if row["merged_into"] is None}
    if gone:
        raise IssueUnknownError(", ".join(map(str, sorted(gone))))
    return rows


def _check_until(action: Action | None, now: datetime) -> None:
    if isinstance(action, Ignore) and action.until_time is not None and action.until_time <= now:
        raise FieldsError([Problem("ignore.until_time", "must be a time to come")])


async def _newest_release(session: Session, row: Record, action: Action) -> str:
    """What an issue is resolved after, where it is to be resolved in the next release."""
    after_newest = isinstance(action, Resolve) and action.in_next_release
    return await release_table.newest_of(session, row["project"], row["last_release"]) if after_newest else ""


async def _take_in(session: Session, rows: Sequence[Record], target: int, actor: str, now: datetime) -> None:
    """Have an issue be as grave, as urgent and as easily found as those that go into it."""
    gravest, newest = max(row["severity"] for row in rows), max(rows, key=lambda row: (row["last_seen"], row["id"]))
    await session.fetch("issues.take_in", _TAKE_IN, (target, gravest, newest["handled"]))
    others = [row for row in rows if row["id"] != target]
    for row in others:
        await session.fetch("issue_texts.take_in", _TAKE_WORDS, (target, row["id"], MOST_WORDS))
    (own,) = (row for row in rows if row["id"] == target)
    turned = after_merge(issue_rows.status(own), [issue_rows.status(row) for row in others])
    if turned is not None:
        await issue_rows.turn(session, issue_rows.hot(own), turned, actor=actor, now=now)


async def _recount(session: Session, issues: Sequence[int], now: datetime) -> None:
    users = await of_issues(session, issues)
    for issue in issues:
        rows = await session.fetch("issues.recount", _RECOUNT, (issue, users.get(issue, 0)))
        await issue_rows.rank(session, [issue_rows.hot(row) for row in rows], now)


async def _copy(session: Session, row: Record, texts: Texts) -> int:
    numbered = (await session.fetch("projects.number", _NUMBER, (row["project"],)))[0]
    made: int = (await session.fetch("issues.copy", _COPY, (row["id"], numbered["issue_count"])))[0]["id"]
    called = (texts.title, texts.culprit, texts.type, texts.template)
    found_by = words(*called, *texts.others, numbered["name"], str(numbered["issue_count"]))
    fix = texts.fix if texts.fix is not None else (None, None, None)
    await session.fetch("issue_texts.copy", _TEXTS, (row["id"], made, *called, found_by, *fix))
    return made


def _check_split(known: dict[bytes, int], wanted: Sequence[bytes]) -> None:
    problems = [
        Problem(f"fingerprints[{number}]", "must be a fingerprint of the issue")
        for number, each in enumerate(wanted)
        if each not in known
    ]
    if not problems and len(set(wanted)) == len(known):
        problems = [Problem("fingerprints", "must leave the issue one at least")]
    if problems:
        raise FieldsError(problems)
