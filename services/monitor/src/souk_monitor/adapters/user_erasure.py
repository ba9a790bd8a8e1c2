"""A user erased from PostgreSQL: their bodies and what their issues are called are rewritten without them, their hash goes; counts
stay."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import zstandard
from souk_common.operations import Progress, Work
from souk_common.postgres import Pool, Record, Session

from souk_monitor.adapters.event_reads import open_body
from souk_monitor.erasing import ERASED, Names, erase, is_distinctive
from souk_monitor.people import person
from souk_monitor.projects import Project
from souk_monitor.searching import words

METHOD = "souk.monitor.v1.ErrorService/EraseUser"
AT_ONCE = 100
TIME_LIMIT = timedelta(hours=6)
_DAYS = "SELECT day FROM monitor.days() ORDER BY day"
_FIND = """
SELECT event_id, fingerprint, people, body FROM monitor.bodies
WHERE day = $1 AND project = $2 AND people @> ARRAY[$3::bigint] LIMIT $4 FOR UPDATE
"""
_REWRITE = """
UPDATE monitor.bodies b SET body = n.body, people = array_remove(b.people, $5::bigint)
FROM unnest($3::uuid[], $4::bytea[]) AS n(event_id, body) WHERE b.day = $1 AND b.project = $2 AND b.event_id = n.event_id
"""
_FORGET = """
DELETE FROM monitor.users u USING monitor.fingerprints f WHERE u.person = $2 AND f.id = u.fingerprint AND f.project = $1
RETURNING f.id
"""
_FORGET_COUNTED = """
DELETE FROM monitor.users u USING unnest($1::bigint[], $2::bigint[]) AS c(fingerprint, person)
WHERE u.fingerprint = c.fingerprint AND u.person = c.person
"""
_TITLES = "SELECT id, issue, title FROM monitor.fingerprints WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"
_RETITLE = """
UPDATE monitor.fingerprints f SET title = n.title FROM unnest($1::bigint[], $2::text[]) AS n(id, title) WHERE f.id = n.id
"""
_TEXTS = """
SELECT t.issue, coalesce(i.merged_into, i.id) AS target, t.title, t.culprit, t.type, t.template, t.fix_evidence
FROM monitor.issues i JOIN monitor.issue_texts t ON t.issue = i.id
WHERE i.id = ANY ($1::bigint[]) OR i.merged_into = ANY ($1::bigint[]) ORDER BY t.issue FOR UPDATE OF t
"""
_REWORD = """
UPDATE monitor.issue_texts t SET title = n.title, culprit = n.culprit, template = n.template, fix_evidence = n.evidence,
    words = ts_delete(t.words, tsvector_to_array(to_tsvector('simple', n.gone)))
        || to_tsvector('simple', n.words || ' ' || p.name || ' ' || i.number)
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS n(issue, title, culprit, template, evidence, words, gone)
    JOIN monitor.issues i ON i.id = n.issue JOIN monitor.projects p ON p.number = i.project
WHERE t.issue = n.issue AND ((t.title, t.culprit, t.template, t.fix_evidence) <> (n.title, n.culprit, n.template, n.evidence)
    OR t.words <> ts_delete(t.words, tsvector_to_array(to_tsvector('simple', n.gone))))
"""
_TAGS_OF_PROJECT = """
SELECT a.fingerprint, a.name, a.value FROM monitor.facets a JOIN monitor.fingerprints f ON f.id = a.fingerprint
WHERE f.project = $1 AND a.kind = 4 AND strpos(a.value, $2) > 0
ORDER BY a.fingerprint, a.name COLLATE "C", a.value COLLATE "C" FOR UPDATE OF a
"""
_TAGS = """
SELECT a.fingerprint, a.name, a.value FROM monitor.facets a
WHERE a.fingerprint = ANY ($1::bigint[]) AND a.kind = 4 AND EXISTS (
    SELECT FROM unnest($1::bigint[], $2::text[]) AS n(fingerprint, name)
    WHERE n.fingerprint = a.fingerprint AND strpos(a.value, n.name) > 0
)
ORDER BY a.fingerprint, a.name COLLATE "C", a.value COLLATE "C" FOR UPDATE
"""
_ERASE_TAGS = """
WITH gone AS (
    DELETE FROM monitor.facets a USING unnest($1::bigint[], $2::text[], $3::text[]) AS g(fingerprint, name, value)
    WHERE a.fingerprint = g.fingerprint AND a.kind = 4 AND a.name = g.name AND a.value = g.value
    RETURNING a.fingerprint, a.name, a.events
)
INSERT INTO monitor.facets AS f (fingerprint, kind, name, value, events)
SELECT fingerprint, 4, name, $4, sum(events) FROM gone GROUP BY fingerprint, name ORDER BY fingerprint, name
ON CONFLICT (fingerprint, kind, name, value) DO UPDATE SET events = f.events + excluded.events
"""


class Erasure:
    """One user of one project."""

    def __init__(self, pool: Pool, project: Project, user: str, level: int) -> None:
        """level: of zstd, for bodies."""
        self._pool = pool
        self._level = level
        self._project = project.number
        self._user = user
        self._person = person(project.secret, user)
        self._days = 0
        self._done = 0
        self._bodies = 0

    def work(self) -> Work:
        """What an operation is told. Its target does not name the user."""
        return Work(METHOD, f"project {self._project}", self.run, self.look, TIME_LIMIT.total_seconds())

    def look(self) -> Progress:
        """How far it is, in days."""
        return Progress(self._days, self._done, "day", {"bodies": self._bodies})

    async def run(self) -> None:
        """Erase. What was erased stays so where it is cancelled. PostgresError."""
        days = [row["day"] for row in await self._pool.fetch("erase.days", _DAYS)]
        self._days = len(days)
        for day in days:
            while True:
                async with self._pool.transaction() as session:
                    if not await self._rewrite(session, day):
                        break
            self._done += 1
        counted = await self._pool.fetch("erase.users", _FORGET, (self._project, self._person))
        await self._forget_tags()
        numbers = sorted({row["id"] for row in counted})  # of some of these no body is kept any more
        for first in range(0, len(numbers), AT_ONCE):
            async with self._pool.transaction() as session:
                await self._forget_names(session, {number: [self._user] for number in numbers[first : first + AT_ONCE]})

    async def _forget_tags(self) -> None:
        """Of the whole project, also of issues that have so many users that not all are known; where the name means nobody else."""
        if is_distinctive(self._user):
            async with self._pool.transaction() as session:
                rows = await session.fetch("erase.tags_of_project", _TAGS_OF_PROJECT, (self._project, self._user))
                names = Names([self._user])
                await _erase_tags(session, [row for row in rows if names.are_in(row["value"])])

    async def _rewrite(self, session: Session, day: object) -> bool:
        rows = await session.fetch("erase.find", _FIND, (day, self._project, self._person, AT_ONCE))
        if not rows:
            return False
        compressor = zstandard.ZstdCompressor(level=self._level)
        rewritten: list[bytes] = []
        names: dict[int, list[str]] = {}
        for row in rows:
            body, known_by = erase(open_body(row["body"]), self._user)
            rewritten.append(compressor.compress(body))
            names.setdefault(row["fingerprint"], []).extend(known_by.all)
        await session.fetch(
            "erase.rewrite", _REWRITE, (day, self._project, [row["event_id"] for row in rows], rewritten, self._person)
        )
        await self._forget_names(session, names)
        counted = sorted({(row["fingerprint"], row["people"][0]) for row in rows})
        await session.fetch("erase.counted", _FORGET_COUNTED, [list(column) for column in zip(*counted, strict=True)])
        self._bodies += len(rows)
        return True

    async def _forget_names(self, session: Session, names: Mapping[int, Sequence[str]]) -> None:
        """From what issues are called and found by, which is what their first events said, and from tags. names: by fingerprint."""
        numbers = sorted(names)
        rows = await session.fetch("erase.titles", _TITLES, (numbers,))
        of_fingerprints = {number: Names(names[number]) for number in numbers}
        of_issues: dict[int, list[str]] = {}
        for row in rows:
            of_issues.setdefault(row["issue"], []).extend(names[row["id"]])
        retitled = {row["id"]: told for row in rows if (told := of_fingerprints[row["id"]].without(row["title"])) != row["title"]}
        await session.fetch("erase.retitle", _RETITLE, (list(retitled), list(retitled.values())))
        texts = await session.fetch("erase.texts", _TEXTS, (sorted(of_issues),))
        if reworded := [_reworded(row, Names(of_issues[row["target"]])) for row in texts]:
            await session.fetch("erase.reword", _REWORD, [list(column) for column in zip(*reworded, strict=True)])
        said = [(number, name) for number in numbers for name in of_fingerprints[number].all]
        tags = await session.fetch("erase.tags", _TAGS, ([number for number, _ in said], [name for _, name in said]))
        await _erase_tags(session, [row for row in tags if of_fingerprints[row["fingerprint"]].are_in(row["value"])])


def _reworded(row: Record, gone: Names) -> tuple[object, ...]:
    """What an issue is called and found by without names."""
    title, culprit = gone.without(row["title"]), gone.without_in_code(row["culprit"])
    template, evidence = gone.without_in_template(row["template"]), gone.without(row["fix_evidence"])
    found_by = words(title, culprit, row["type"], template)
    return row["issue"], title, culprit, template, evidence, found_by, words(*gone.all)


async def _erase_tags(session: Session, rows: Sequence[Record]) -> None:
    """Have values of tags be counted as what was erased."""
    if rows:
        keys = sorted((row["fingerprint"], row["name"], row["value"]) for row in rows)
        await session.fetch("erase.tags_gone", _ERASE_TAGS, (*(list(column) for column in zip(*keys, strict=True)), ERASED))
