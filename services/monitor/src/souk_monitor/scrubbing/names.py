"""Names of fields whose values are secret: password, X-Api-Key, accessToken, seed phrase …"""

import re
from collections.abc import Iterable, Iterator
from enum import Enum

from souk_monitor.scrubbing.signs import ending, exactly, spelled

WITHIN = (
    "password", "passwd", "passwort", "pswd", "passphrase", "passcode", "pwd", "senha", "contrasena", "secret", "token",
    "credential", "creds", "authorization", "mnemonic", "cookie", "session", "phpsessid", "csrf", "xsrf", "cvv", "cvc", "bearer",
    "keystore", "api key", "access key", "private key", "priv key", "signing key", "encryption key", "account key", "auth key",
    "wallet key", "license key", "seed phrase", "recovery phrase", "seed words", "card number", "credit card", "cc number",
    "account number", "security code", "pin code", "otp code", "mfa code", "2fa code", "verification code",
)  # fmt: skip
"""Words of sensitive names, wherever they are in one."""
WHOLE = (
    "auth", "pin", "seed", "sid", "pass", "pw", "otp", "totp", "ssn", "jwt", "sig", "signature", "iban", "xprv", "session", "pan",
    "card no", "cardno", "sess id", "sessid",
)  # fmt: skip
"""Too short to be looked for within a word: they are one, as in user_pass."""
_HARMLESS = re.compile(
    r"(?:n|num|max|min|total|prompt|completion|input|output|used)?tokens?"
    r"(?:count|limit|type|ids?|address|uri|url|symbol|name|standard|contract|decimals)"
    r"|(?:n|num|max|min|total|prompt|completion|input|output|used)tokens?"
    r"|.*(?:max|min|total|prompt|completion|input|output|reasoning|remaining|limit)tokens(?:details)?"
    r"|tokens(?:per\w+|used|remaining)|.*token(?:type|endpoint)|.*authorization(?:endpoint|ur[il])|.*tokenizers?|.*tokeni[sz]ation"
    r"|publickeytoken|cancellationtoken"
    r"|sessions?(?:count|status|state|started|duration|timeout)"
    r"|secretname|.*(?:cookie|session|csrf)(?:name|path|domain|samesite|maxage)"
    r"|.*(?:keyref|seconds|enabled|required|expires(?:at|in)?|expired|length|policy|count|errors?|exception|invalid|missing|failed|failure"
    r"|version|lifetime|ttl)"
)
"""Of those that have such a word in them: how many, until when, of which version, what is wrong; and the tokens of a chain,
which are goods. .NET's PublicKeyToken is a hash that is public."""
_HASH = re.compile(
    r".*(?:hash|digest|checksum|etag|sha\d*|txid|root|fingerprint|thumbprint|containerid|imageid|userid)"
    r"|tx|txn|transaction|block|receipt|commit|topic|cid"
)
_VERSIONS = frozenset(("version", "build", "release", "firmware", "dist"))
"""The last word of a name whose value is a version, but for one of `_KINDS`."""
_KINDS = frozenset(("id", "number", "name", "code", "string"))
_GUESSED = frozenset((*WHOLE, "card", "wallet", "master", "hd", "bip32"))
"""Of hashes that are guessed, or are keys."""
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_TILDE = re.compile("n\u0303|\u00f1")
_PLAIN = re.compile(r"[A-Za-z_.-]{1,12}[0-9]{0,3}")
"""Too short, and of too few digits, to be a secret of any form."""
_MAX_KNOWN = 4096
_WITHIN = tuple(word.replace(" ", "") for word in WITHIN)


def plain(name: str) -> str:
    """A name without what people write differently: case, _, -, spaces, the tilde of contraseña."""
    return _SEPARATORS.sub("", _TILDE.sub("n", name.lower()))


class Name(Enum):
    """What is known of a name."""

    PLAIN = 0
    SENSITIVE = 1
    """Its value is secret."""
    UNSURE = 2
    """It is not known whether it holds a secret itself, as a URL or an address would."""
    HASH = 3
    """It holds a hash, or an id that is one."""
    VERSION = 4
    """It holds a version, of numbers that may be written like an address."""


class Names(dict[str, Name]):
    """What is known of names: some are always sensitive, and a project adds others. Looks a name up once, and then knows it."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        super().__init__()
        self._added = frozenset(filter(None, (form for name in added for form in (plain(name), name.lower()))))

    def __missing__(self, name: str) -> Name:
        if len(self) >= _MAX_KNOWN:
            self.clear()
        verdict = self[name] = self._verdict(name)
        return verdict

    def is_sensitive(self, name: str) -> bool:
        """Whether the value of a name is secret."""
        return self[name] is Name.SENSITIVE

    def _verdict(self, name: str) -> Name:
        if self._is_sensitive(name):
            return Name.SENSITIVE
        parts = _parts(name)
        if _HASH.fullmatch(plain(name)) and _GUESSED.isdisjoint(parts):
            return Name.HASH
        if not _VERSIONS.isdisjoint(parts[-2:-1] if parts and parts[-1] in _KINDS else parts[-1:]):
            return Name.VERSION
        return Name.PLAIN if _PLAIN.fullmatch(name) else Name.UNSURE

    def _is_sensitive(self, name: str) -> bool:
        known = plain(name)
        if known in self._added or name.lower() in self._added:
            return True
        if any(word in known for word in _WITHIN):
            return _HARMLESS.fullmatch(known) is None
        parts = _parts(name)
        return " ".join(parts[-1:]) in WHOLE or " ".join(parts[-2:]) in WHOLE


def _parts(name: str) -> list[str]:
    """The words of a name, at its end."""
    return [part.lower() for part in _PARTS.findall(name[-100:])]


def _spellings(name: str) -> Iterator[str]:
    yield exactly(name)
    if letters := plain(name):
        yield spelled(letters)


def sign(added: Iterable[str]) -> str:
    """The sign of a name that a project adds."""
    return "|".join(sign for name in added if name for sign in _spellings(name))


SIGN = "|".join((*map(spelled, _WITHIN), *map(ending, WHOLE)))
"""That of a name that is always sensitive."""
