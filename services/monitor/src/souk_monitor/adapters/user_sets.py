"""Users of fingerprints: hashes of few, sketches of many. Whoever counts has locked the fingerprint."""

from collections.abc import Iterable, Mapping, Sequence

from souk_common.postgres import Session

from souk_monitor.cardinality import Sketch

EXACT = 1_000
"""Users of a fingerprint that are all kept."""
_ADD = """
INSERT INTO monitor.users (fingerprint, person)
SELECT fingerprint, person FROM unnest($1::bigint[], $2::bigint[]) AS u(fingerprint, person) ORDER BY fingerprint, person
ON CONFLICT DO NOTHING RETURNING fingerprint
"""
_MEMBERS = "SELECT person FROM monitor.users WHERE fingerprint = ANY ($1::bigint[])"
_FORGET = "DELETE FROM monitor.users WHERE fingerprint = $1"
_SKETCHES = "SELECT fingerprint, registers FROM monitor.user_sketches WHERE fingerprint = ANY ($1::bigint[])"
_KEEP = """
INSERT INTO monitor.user_sketches (fingerprint, registers)
SELECT fingerprint, registers FROM unnest($1::bigint[], $2::bytea[]) AS s(fingerprint, registers) ORDER BY fingerprint
ON CONFLICT (fingerprint) DO UPDATE SET registers = excluded.registers
"""
_COUNT = """
UPDATE monitor.fingerprints f SET users = c.users FROM unnest($1::bigint[], $2::bigint[]) AS c(id, users) WHERE f.id = c.id
"""
_OF_ISSUES = "SELECT issue, id, users FROM monitor.fingerprints WHERE issue = ANY ($1::bigint[])"


async def count_users(
    session: Session, people: Sequence[tuple[int, int]], users: Mapping[int, int], issues: Mapping[int, int]
) -> dict[int, int]:
    """Count people, as (fingerprint, hash); the users that each issue has now, where that has changed.

    users, issues: how many each fingerprint had, and its issue.
    """
    if not people:
        return {}
    changed = await _add_few(session, [pair for pair in people if users[pair[0]] <= EXACT], users)
    changed |= await _add_many(session, [pair for pair in people if users[pair[0]] > EXACT], users)
    if not changed:
        return {}
    await session.fetch("fingerprints.users", _COUNT, (list(changed), list(changed.values())))
    return await of_issues(session, sorted({issues[number] for number in changed}))


async def of_issues(session: Session, issues: Sequence[int]) -> dict[int, int]:
    """The users of issues; of one that has several fingerprints, those of their union."""
    rows = await session.fetch("fingerprints.of_issues", _OF_ISSUES, (issues,))
    parts: dict[int, dict[int, int]] = {}
    for row in rows:
        parts.setdefault(row["issue"], {})[row["id"]] = row["users"]
    return {
        issue: next(iter(of.values())) if len(of) == 1 else max(await _union(session, list(of)), *of.values())
        for issue, of in parts.items()
    }


async def _add_few(session: Session, people: Sequence[tuple[int, int]], users: Mapping[int, int]) -> dict[int, int]:
    if not people:
        return {}
    rows = await session.fetch("users.add", _ADD, ([pair[0] for pair in people], [pair[1] for pair in people]))
    changed: dict[int, int] = {}
    for row in rows:
        number = row["fingerprint"]
        changed[number] = changed.get(number, users[number]) + 1
    for number in changed:
        if changed[number] > EXACT:
            sketch = Sketch()
            sketch.add(await _members(session, [number]))
            await session.fetch("users.forget", _FORGET, (number,))
            await _keep(session, {number: sketch})
            changed[number] = max(EXACT + 1, sketch.estimate())
    return changed


async def _add_many(session: Session, people: Sequence[tuple[int, int]], users: Mapping[int, int]) -> dict[int, int]:
    if not people:
        return {}
    sketches = await _sketches(session, sorted({number for number, _ in people}))
    of_numbers: dict[int, list[int]] = {}
    for number, person in people:
        of_numbers.setdefault(number, []).append(person)
    grown = {number: sketch for number, sketch in sketches.items() if sketch.add(of_numbers[number])}
    await _keep(session, grown)
    return {number: max(users[number], sketch.estimate()) for number, sketch in grown.items()}


async def _keep(session: Session, sketches: Mapping[int, Sketch]) -> None:
    if sketches:
        columns = (list(sketches), [bytes(sketch.registers) for sketch in sketches.values()])
        await session.fetch("sketches.keep", _KEEP, columns)


async def _union(session: Session, numbers: Sequence[int]) -> int:
    members = set(await _members(session, numbers))
    sketches = await _sketches(session, numbers)
    if not sketches:
        return len(members)
    together = Sketch()
    together.add(members)
    for sketch in sketches.values():
        together.merge(sketch)
    return together.estimate()


async def _members(session: Session, numbers: Sequence[int]) -> Iterable[int]:
    return [row["person"] for row in await session.fetch("users.members", _MEMBERS, (numbers,))]


async def _sketches(session: Session, numbers: Sequence[int]) -> dict[int, Sketch]:
    rows = await session.fetch("sketches.find", _SKETCHES, (numbers,))
    return {row["fingerprint"]: Sketch(row["registers"]) for row in rows}
