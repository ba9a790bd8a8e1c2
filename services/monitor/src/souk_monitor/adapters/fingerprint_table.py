"""Fingerprints, and the issues that new ones open."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from souk_common.postgres import Session

from souk_monitor.adapters import new_issues
from souk_monitor.adapters.new_issues import Room
from souk_monitor.lifecycle import State
from souk_monitor.overflow import FINGERPRINT, overflowing
from souk_monitor.preparing import Prepared
from souk_monitor.searching import words

_FIND = """
SELECT f.project, f.fingerprint, f.id, f.issue
FROM unnest($1::integer[], $2::bytea[]) AS w(project, fingerprint) JOIN monitor.fingerprints f USING (project, fingerprint)
"""
_FIND_OLDER = _FIND + "ORDER BY f.id FOR SHARE OF f"
"""Who merges or splits their issues meanwhile waits, and finds what is made now."""
_ADD = """
INSERT INTO monitor.fingerprints
    (project, fingerprint, version, issue, title, first_seen, last_seen, first_release, last_release)
SELECT project, fingerprint, version, issue, title, time, time, release, release
FROM unnest($1::integer[], $2::bytea[], $3::smallint[], $4::bigint[], $5::text[], $6::timestamptz[], $7::text[])
    AS n(project, fingerprint, version, issue, title, time, release)
ON CONFLICT DO NOTHING RETURNING project, fingerprint, id, issue
"""
_NUMBERS = f"""
UPDATE monitor.projects SET issue_count = issue_count + $2, {new_issues.COUNT} WHERE number = $1 RETURNING issue_count
"""  # noqa: S608 — of constants
_OPEN = """
INSERT INTO monitor.issues
    (project, number, state, severity, category, platform, handled, events, first_seen, last_seen, first_release, last_release)
SELECT project, number, $9, severity, category, platform, handled, 0, time, time, release, release
FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::smallint[], $5::text[], $6::boolean[], $7::timestamptz[], $8::text[])
    AS n(project, number, severity, category, platform, handled, time, release)
RETURNING id, project, number
"""
_TEXTS = """
INSERT INTO monitor.issue_texts (issue, title, culprit, type, template, fix_rule, fix_text, fix_evidence, words)
SELECT issue, title, culprit, type, template, fix_rule, fix_text, fix_evidence,
    to_tsvector('simple', words || ' ' || p.name || ' ' || n.number)
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::integer[], $11::integer[])
        AS n(issue, title, culprit, type, template, fix_rule, fix_text, fix_evidence, words, project, number)
    JOIN monitor.projects p ON p.number = n.project
"""
_POINT = """
UPDATE monitor.fingerprints f SET issue = n.issue FROM unnest($1::bigint[], $2::bigint[]) AS n(id, issue) WHERE f.id = n.id
"""
_REMOVE = """
WITH gone AS (DELETE FROM monitor.fingerprints WHERE id = ANY ($1::bigint[]) RETURNING issue),
    texts AS (DELETE FROM monitor.issue_texts WHERE issue = ANY ($2::bigint[]))
DELETE FROM monitor.issues WHERE id = ANY ($2::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A fingerprint that has a row."""

    project: int
    fingerprint: bytes
    number: int
    """Of the row."""
    overflows: bool = False
    """The row is not its own: its project may open no more issues in this hour."""


@dataclass(slots=True)
class NewFingerprints:
    """Those that a transaction has made."""

    numbers: set[int] = field(default_factory=set)
    issues: dict[int, int] = field(default_factory=dict)
    """The issues that were opened for them, by their numbers."""
    projects: dict[int, int] = field(default_factory=dict)
    """Of those issues that count as new ones, by the same numbers."""
    full: list[Room] = field(default_factory=list)
    """Of projects of which some could open none."""

    async def remove_unused(self, session: Session, used: set[int]) -> set[int]:
        """Take back what was made for events that turned out to be repeats; which."""
        unused = self.numbers - used
        if unused:
            issues = [self.issues.pop(number) for number in sorted(unused) if number in self.issues]
            await session.fetch("fingerprints.remove", _REMOVE, (sorted(unused), issues))
            await new_issues.give_back(session, [self.projects[number] for number in sorted(unused) if number in self.projects])
            self.numbers -= unused
        return unused


async def resolve(session: Session, events: Sequence[Prepared], per_hour: int) -> tuple[list[Resolved], NewFingerprints]:
    """The fingerprints of events, one of each; those that nobody has yet are made, with issues.

    Of a project that may open no more issues in this hour, they have its overflow's row: all but the first of the events, for which
    there is room. per_hour: new issues of projects that do not say how many may be; 0: any number. Who makes one that another
    transaction makes too waits until that has ended.
    """
    made = NewFingerprints()
    if not events:
        return [], made
    found = await _find(session, list(map(_key, events)))
    missing = [event for event in events if _key(event) not in found]
    over: list[Prepared] = []
    if missing:
        rooms = await new_issues.rooms(session, [event.project for event in missing], per_hour)  # first: they are locked
        older = await _issues_of_older(session, missing)
        over = await _over(session, [event for event in missing if _key(event) not in older], rooms, made)
        missing = _instead(missing, over)
        added = await _add(session, sorted(missing, key=_key), older)
        await _open_issues(session, [event for event in missing if _key(event) in added], added, made)
        others = [_key(event) for event in missing if _key(event) not in added]
        found |= {key: number for key, (number, _) in added.items()} | (await _find(session, others) if others else {})
    resolved = [Resolved(*key, number) for key, number in found.items()]
    resolved += [Resolved(*_key(event), found[event.project, FINGERPRINT], overflows=True) for event in over]
    return resolved, made


async def _over(session: Session, opening: Sequence[Prepared], rooms: dict[int, Room], made: NewFingerprints) -> list[Prepared]:
    """Those that are to open issues of their own, and may not."""
    if new_issues.beyond(opening, rooms):  # those that others have opened until the projects were locked need no room
        known = await _find(session, list(map(_key, opening)))
        opening = [event for event in opening if _key(event) not in known]
    over = new_issues.beyond(opening, rooms)
    made.full = [rooms[project] for project in sorted({event.project for event in over})]
    return over


def _instead(missing: Sequence[Prepared], over: Sequence[Prepared]) -> list[Prepared]:
    """What is missing, with one event of each project's overflow in the place of all of them that are."""
    gone = set(map(_key, over))
    overflows = {event.project: overflowing(event) for event in reversed(over)}
    return [*(event for event in missing if _key(event) not in gone), *overflows.values()]


def _key(event: Prepared) -> tuple[int, bytes]:
    return event.project, event.grouping.fingerprint


async def _find(session: Session, keys: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
    rows = await session.fetch("fingerprints.find", _FIND, ([key[0] for key in keys], [key[1] for key in keys]))
    return {(row["project"], row["fingerprint"]): row["id"] for row in rows}


async def _issues_of_older(session: Session, events: Sequence[Prepared]) -> dict[tuple[int, bytes], int]:
    """The issues of events that have a fingerprint by older rules."""
    older = [(event.project, fingerprint) for event in events for fingerprint in event.grouping.secondary]
    if not older:
        return {}
    rows = await session.fetch("fingerprints.find_older", _FIND_OLDER, ([key[0] for key in older], [key[1] for key in older]))
    known = {(row["project"], row["fingerprint"]): row["issue"] for row in rows}
    found = {}
    for event in events:
        issues = [known[event.project, each] for each in event.grouping.secondary if (event.project, each) in known]
        if issues:
            found[_key(event)] = issues[0]
    return found


async def _add(
    session: Session, events: Sequence[Prepared], older: dict[tuple[int, bytes], int]
) -> dict[tuple[int, bytes], tuple[int, int]]:
    """Those that were added, with their numbers and issues; the issue of one that opens one is 0. older: issues that they have."""
    columns = (
        [event.project for event in events],
        [event.grouping.fingerprint for event in events],
        [event.grouping.version for event in events],
        [older.get(_key(event), 0) for event in events],
        [event.grouping.title for event in events],
        [event.time for event in events],
        [event.release for event in events],
    )
    rows = await session.fetch("fingerprints.add", _ADD, columns)
    return {(row["project"], row["fingerprint"]): (row["id"], row["issue"]) for row in rows}


async def _open_issues(
    session: Session, events: Sequence[Prepared], added: dict[tuple[int, bytes], tuple[int, int]], made: NewFingerprints
) -> None:
    made.numbers = {number for number, _ in added.values()}
    opening = [event for event in events if not added[_key(event)][1]]
    if not opening:
        return
    numbers = await _numbers(session, opening)
    columns = (
        [event.project for event in opening],
        numbers,
        [event.severity for event in opening],
        [event.understanding.category for event in opening],
        [event.platform for event in opening],
        [event.handled for event in opening],
        [event.time for event in opening],
        [event.release for event in opening],
        State.OPEN,
    )
    rows = await session.fetch("issues.open", _OPEN, columns)
    ids = {(row["project"], row["number"]): row["id"] for row in rows}
    issues = [ids[event.project, number] for event, number in zip(opening, numbers, strict=True)]
    await session.fetch("issue_texts.add", _TEXTS, _text_columns(opening, issues, numbers))
    pointed = [added[_key(event)][0] for event in opening]
    await session.fetch("fingerprints.point", _POINT, (pointed, issues))
    made.issues = dict(zip(pointed, issues, strict=True))
    made.projects = {number: each.project for number, each in zip(pointed, opening, strict=True) if _is_counted(each)}


async def _numbers(session: Session, events: Sequence[Prepared]) -> list[int]:
    """The next numbers of their projects, which are locked until the transaction ends."""
    wanted = Counter(event.project for event in events)
    counted = Counter(event.project for event in events if _is_counted(event))
    following: dict[int, int] = {}
    for project, count in sorted(wanted.items()):
        rows = await session.fetch("projects.numbers", _NUMBERS, (project, count, counted[project]))
        following[project] = rows[0]["issue_count"] - count
    numbers = []
    for event in events:
        following[event.project] += 1
        numbers.append(following[event.project])
    return numbers


def _is_counted(event: Prepared) -> bool:
    """Whether an issue that it opens is one of those that a project may open in an hour."""
    return event.grouping.fingerprint != FINGERPRINT


def _text_columns(events: Sequence[Prepared], issues: list[int], numbers: list[int]) -> Sequence[list[object]]:
    rows = []
    for event, issue, number in zip(events, issues, numbers, strict=True):
        grouping, fix = event.grouping, event.understanding.fix
        found_by = words(grouping.title, grouping.culprit, grouping.type, grouping.message_template, *event.others)
        texts = (grouping.title, grouping.culprit, grouping.type, grouping.message_template, *fix, found_by)
        rows.append((issue, *texts, event.project, number))
    return [list(column) for column in zip(*rows, strict=True)]
