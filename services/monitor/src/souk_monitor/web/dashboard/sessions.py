"""Who looks at the dashboard: a signed cookie that says which token opened the session, and what guards its forms.

A cookie is base64url(SHA-256 of the token ‖ end of the session ‖ 16 random bytes ‖ HMAC-SHA-256 of these). Every node with the same
key knows it, and it is worth nothing once the token is taken out of the auth file. Where auth is off, the token is none.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from souk_common.auth import ANONYMOUS, Authenticator, Principal

COOKIE = "souk_session"
_NO_TOKEN = bytes(32)
_PAYLOAD, _SIGNATURE = 32 + 8 + 16, 32


@dataclass(frozen=True, slots=True)
class Visitor:
    """One who looks, and what his forms must carry."""

    principal: Principal
    csrf: str
    cookie: str

    @property
    def name(self) -> str:
        """Who acts; empty where nobody is asked who they are."""
        return self.principal.name if self.principal is not ANONYMOUS else ""

    def may(self, scope: str) -> bool:
        """Whether he has a scope, or auth is off."""
        return self.principal is ANONYMOUS or scope in self.principal.scopes


class Sessions:
    """Opens sessions and knows them again."""

    def __init__(
        self,
        key: bytes,
        authenticator: Authenticator | None,
        *,
        lifetime: float,
        reload_interval: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """authenticator: None where auth is off. lifetime: of a session, in seconds. reload_interval: of the auth file."""
        self._key = key
        self._authenticator = authenticator
        self._lifetime = lifetime
        self._reload_interval = reload_interval
        self._now = now
        self._looked = now()

    @property
    def need_login(self) -> bool:
        """Whether auth is on."""
        return self._authenticator is not None

    @property
    def lifetime(self) -> int:
        """Of a session, in seconds."""
        return round(self._lifetime)

    def log_in(self, token: str) -> Visitor:
        """A session of the bearer of a token. ServiceError UNAUTHENTICATED where it is nobody's."""
        if self._authenticator is None:
            return self.anonymous()
        self._follow(self._authenticator)
        principal = self._authenticator.by_authorization(f"Bearer {token}")
        return self._opened(hashlib.sha256(token.strip().encode()).digest(), principal)

    def anonymous(self) -> Visitor:
        """A session where auth is off."""
        return self._opened(_NO_TOKEN, ANONYMOUS)

    def find(self, cookie: str) -> Visitor | None:
        """Whose session a cookie is; None where it is over, forged, or its token is not known any more."""
        try:
            raw = base64.urlsafe_b64decode(cookie)
        except (binascii.Error, ValueError):
            return None
        payload, signature = raw[:_PAYLOAD], raw[_PAYLOAD:]
        if len(raw) != _PAYLOAD + _SIGNATURE or not hmac.compare_digest(self._sign(b"session", payload), signature):
            return None
        if int.from_bytes(payload[32:40], "big") <= self._now():
            return None
        principal = self._principal(payload[:32])
        return Visitor(principal, self._csrf(payload), cookie) if principal is not None else None

    def _principal(self, digest: bytes) -> Principal | None:
        if self._authenticator is None:
            return ANONYMOUS if digest == _NO_TOKEN else None
        self._follow(self._authenticator)
        return self._authenticator.by_digest(digest)

    def _opened(self, digest: bytes, principal: Principal) -> Visitor:
        end = round(self._now() + self._lifetime)
        payload = digest + end.to_bytes(8, "big") + secrets.token_bytes(16)
        cookie = base64.urlsafe_b64encode(payload + self._sign(b"session", payload)).decode()
        return Visitor(principal, self._csrf(payload), cookie)

    def _csrf(self, payload: bytes) -> str:
        return self._sign(b"csrf", payload).hex()

    def _sign(self, purpose: bytes, payload: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + payload, "sha256")

    def _follow(self, authenticator: Authenticator) -> None:
        """Take over changes of the auth file; where it is missing or wrong the server's own log says so, and nothing changes."""
        if self._now() - self._looked >= self._reload_interval:
            self._looked = self._now()
            try:
                authenticator.reload()
            except (OSError, ValueError):
                return
