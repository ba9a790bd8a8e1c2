"""Names of fields whose values are secret: password, X-Api-Key, accessToken, seed phrase …"""

import re
from collections.abc import Iterable

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
_MAX_KNOWN = 4096


def plain(name: str) -> str:
    """A name without what people write differently: case, _, -, spaces."""
    return _SEPARATORS.sub("", name.lower())


class Names:
    """Which names are sensitive: those that always are, and those that a project adds."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        self.added = frozenset(filter(None, map(plain, added)))
        self._known: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        verdict = self._known.get(name)
        if verdict is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            verdict = self._known[name] = self._is_sensitive(name)
        return verdict

    def _is_sensitive(self, name: str) -> bool:
        known = plain(name)
        if known in self.added:
            return True
        if any(word in known for word in _WITHIN):
            return _HARMLESS.fullmatch(known) is None
        parts = _PARTS.findall(name[-100:])
        return bool(parts) and parts[-1].lower() in WHOLE
