"""Names of fields whose values are secret: password, X-Api-Key, accessToken, seed phrase …"""

import re
from collections.abc import Iterable, Iterator
from enum import Enum

from souk_monitor.scrubbing.signs import ending, exactly, spelled

_WITHIN = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey", "privatekey", "privkey", "signingkey",
    "encryptionkey", "accountkey", "authorization", "credential", "mnemonic", "seedphrase", "recoveryphrase", "seedwords", "cookie",
    "session", "csrf", "xsrf", "cardnumber", "creditcard", "ccnumber", "cvv", "cvc", "bearer", "keystore", "authkey", "walletkey",
    "securitycode", "pincode",
)  # fmt: skip
WHOLE = ("auth", "pin", "seed", "sid", "pass", "pw", "otp", "ssn", "jwt", "sig", "signature", "iban", "xprv", "session")
"""Too short to be looked for within a word: they are one, as in user_pass."""
_HARMLESS = re.compile(
    r"(?:n|num|max|min|total|prompt|completion|input|output|used)?tokens?"
    r"(?:count|limit|type|ids?|address|uri|url|symbol|name|standard|contract|decimals)"
    r"|(?:n|num|max|min|total|prompt|completion|input|output|used)tokens?"
    r"|sessions?(?:count|status|state|started|duration|timeout)|.*(?:enabled|required|expires(?:at|in)?|length|policy|count)"
)
"""Of those that have such a word in them: how many, until when, and the tokens of a chain, which are goods and no secrets."""
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_PLAIN = re.compile(r"[A-Za-z_.-]{1,12}[0-9]{0,3}")
"""Too short, and of too few digits, to be a secret of any form."""
_MAX_KNOWN = 4096


def plain(name: str) -> str:
    """A name without what people write differently: case, _, -, spaces."""
    return _SEPARATORS.sub("", name.lower())


class Name(Enum):
    """What is known of a name."""

    PLAIN = 0
    SENSITIVE = 1
    """Its value is secret."""
    UNSURE = 2
    """It is not known whether it holds a secret itself, as a URL or an address would."""


class Names(dict[str, Name]):
    """What is known of names: some are always sensitive, and a project adds others. Looks a name up once, and then knows it."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        super().__init__()
        self._added = frozenset(filter(None, (form for name in added for form in (plain(name), name.lower()))))

    def __missing__(self, name: str) -> Name:
        if len(self) >= _MAX_KNOWN:
            self.clear()
        harmless = Name.PLAIN if _PLAIN.fullmatch(name) else Name.UNSURE
        verdict = self[name] = Name.SENSITIVE if self._is_sensitive(name) else harmless
        return verdict

    def is_sensitive(self, name: str) -> bool:
        """Whether the value of a name is secret."""
        return self[name] is Name.SENSITIVE

    def _is_sensitive(self, name: str) -> bool:
        known = plain(name)
        if known in self._added or name.lower() in self._added:
            return True
        if any(word in known for word in _WITHIN):
            return _HARMLESS.fullmatch(known) is None
        parts = _PARTS.findall(name[-100:])
        return bool(parts) and parts[-1].lower() in WHOLE


def _spellings(name: str) -> Iterator[str]:
    yield exactly(name)
    if letters := plain(name):
        yield spelled(letters)


def sign(added: Iterable[str]) -> str:
    """The sign of a name that a project adds."""
    return "|".join(sign for name in added if name for sign in _spellings(name))


SIGN = "|".join((*map(spelled, _WITHIN), *map(ending, WHOLE)))
"""That of a name that is always sensitive."""
