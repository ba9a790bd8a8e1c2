"""A user erased from PostgreSQL: their bodies and what their issues are called are rewritten without them, their hash goes; counts
stay."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import zstandard
from souk_common.operations import Progress, Work
from souk_common.postgres import Pool, Session

from souk_monitor.adapters.event_reads import open_body
from souk_monitor.erasing import erase, longest_first, without
from souk_monitor.people import person
from souk_monitor.projects import Project
from souk_monitor.searching import words

METHOD = "souk.monitor.v1.ErrorService/EraseUser"
AT_ONCE = 100
TIME_LIMIT = timedelta(hours=6)
_REWORDED = ("title", "culprit", "template", "fix_evidence")
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
_FORGET_TAGS = """
DELETE FROM monitor.facets a USING monitor.fingerprints f
WHERE f.id = a.fingerprint AND f.project = $1 AND a.kind = 4 AND (a.value = $2 OR length($2) >= 4 AND strpos(a.value, $2) > 0)
"""
_FORGET_TAGS_OF = """
DELETE FROM monitor.facets a USING unnest($1::bigint[], $2::text[]) AS n(fingerprint, name)
WHERE a.fingerprint = n.fingerprint AND a.kind = 4 AND (a.value = n.name OR length(n.name) >= 4 AND strpos(a.value, n.name) > 0)
"""


class Erasure:
    """One user of one project."""

    def __init__(self, pool: Pool, project: Project, user: str) -> None:
        self._pool = pool
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
        await self._pool.fetch("erase.tags", _FORGET_TAGS, (self._project, self._user))
        numbers = sorted({row["id"] for row in counted})  # of some of these no body is kept any more
        for first in range(0, len(numbers), AT_ONCE):
            async with self._pool.transaction() as session:
                await self._forget_names(session, dict.fromkeys(numbers[first : first + AT_ONCE], (self._user,)))

    async def _rewrite(self, session: Session, day: object) -> bool:
        rows = await session.fetch("erase.find", _FIND, (day, self._project, self._person, AT_ONCE))
        if not rows:
            return False
        compressor = zstandard.ZstdCompressor()
        rewritten: list[bytes] = []
        names: dict[int, set[str]] = {}
        for row in rows:
            body, known_by = erase(open_body(row["body"]), self._user)
            rewritten.append(compressor.compress(body))
            names.setdefault(row["fingerprint"], set()).update(known_by)
        await session.fetch(
            "erase.rewrite", _REWRITE, (day, self._project, [row["event_id"] for row in rows], rewritten, self._person)
        )
        await self._forget_names(session, names)
        counted = sorted({(row["fingerprint"], row["people"][0]) for row in rows})
        await session.fetch("erase.counted", _FORGET_COUNTED, [list(column) for column in zip(*counted, strict=True)])
        self._bodies += len(rows)
        return True

    async def _forget_names(self, session: Session, names: Mapping[int, Iterable[str]]) -> None:
        """From what issues are called and found by, which is what their first events said, and from tags. names: by fingerprint."""
        numbers = sorted(names)
        rows = await session.fetch("erase.titles", _TITLES, (numbers,))
        of_issues: dict[int, set[str]] = {}
        for row in rows:
            of_issues.setdefault(row["issue"], set()).update(names[row["id"]])
        retitled = {
            row["id"]: told for row in rows if (told := without(row["title"], longest_first(names[row["id"]]))) != row["title"]
        }
        await session.fetch("erase.retitle", _RETITLE, (list(retitled), list(retitled.values())))
        reworded = []
        for row in await session.fetch("erase.texts", _TEXTS, (sorted(of_issues),)):
            gone = longest_first(of_issues[row["target"]])
            texts = {name: without(row[name], gone) for name in _REWORDED}
            found_by = words(texts["title"], texts["culprit"], row["type"], texts["template"])
            reworded.append((row["issue"], *texts.values(), found_by, words(*gone)))
        await session.fetch("erase.reword", _REWORD, [list(column) for column in zip(*reworded, strict=True)])
        tags = [(number, name) for number in numbers for name in sorted(names[number])]
        await session.fetch("erase.tags_of", _FORGET_TAGS_OF, [list(column) for column in zip(*tags, strict=True)])
