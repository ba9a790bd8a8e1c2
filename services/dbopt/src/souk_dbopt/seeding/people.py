"""Users and sellers."""

from souk_dbopt.seeding.chance import batch_random, pick
from souk_dbopt.seeding.plan import Plan
from souk_dbopt.seeding.rhythm import Rhythm
from souk_dbopt.seeding.rows import NULL, Rows
from souk_dbopt.seeding.vocabulary import vocabulary

WITH_ENS_NAME = 0.3
ACTIVE_SELLERS = 0.97
_CHOSEN = 0.25
"""Share of ENS names that are a word and a number; the others are of two words."""


class People:
    """Makes users, with a wallet each, and sellers, who are users."""

    def __init__(self, plan: Plan, rhythm: Rhythm) -> None:
        self._plan, self._rhythm, self._words = plan, rhythm, vocabulary().words

    def users(self, batch: int, ids: range) -> list[Rows]:
        """The users of these ids."""
        random = batch_random(self._plan.seed, "users", batch)
        draw = random.random
        first, last, nicks = self._words["first_names"], self._words["last_names"], self._words["nicknames"]
        lines = []
        for user_id in ids:
            age = max(0.0, (user_id - 2 + draw()) / self._plan.users)
            ens_name = NULL
            if draw() < WITH_ENS_NAME:
                second = "" if draw() < _CHOSEN else pick(nicks, draw())
                ens_name = f"{pick(nicks, draw())}{second}{user_id}.eth"  # ids make them differ
            wallet = random.getrandbits(160)
            name = f"{pick(first, draw())} {pick(last, draw())}"
            lines.append(f"{user_id}\t0x{wallet:040x}\t{ens_name}\t{name}\t{self._rhythm.text(age)}")
        return [Rows("users", ("user_id", "wallet", "ens_name", "display_name", "created_at"), lines)]

    def sellers(self, batch: int, ids: range) -> list[Rows]:
        """The sellers of these ids. Every so many users there is one."""
        draw = batch_random(self._plan.seed, "sellers", batch).random
        words, towns = self._words, vocabulary().towns
        lines = []
        for seller_id in ids:
            user_id = 1 + (seller_id - 1) * self._plan.users // self._plan.sellers
            name = f"{towns[int(len(towns) * draw())]} {pick(words['shops'], draw())}"
            slug = f"{name.lower().replace(' ', '-')}-{seller_id}"
            active = "t" if draw() < ACTIVE_SELLERS else "f"
            created_at = self._rhythm.text((seller_id - 1) / self._plan.sellers)
            lines.append(f"{seller_id}\t{user_id}\t{name}\t{slug}\t{pick(words['countries'], draw())}\t{active}\t{created_at}")
        return [Rows("sellers", ("seller_id", "user_id", "name", "slug", "country", "is_active", "created_at"), lines)]
