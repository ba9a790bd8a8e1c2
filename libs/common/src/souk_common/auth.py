"""Who calls, and what they may: tokens and client certificates -> Principal, methods -> scopes. Off unless there is an auth file.

principals:
  - name: shop-backend
    scopes: [imaging.read, imaging.write]
    token_sha256: [9f86d081884c7d65…]       # of the token; `souk token create` makes both
    certificates: [shop.example.internal]   # DNS or URI names, or the common name, of a client certificate
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from souk_common import yaml_text
from souk_common.errors import ServiceError
from souk_common.settings import problems

PUBLIC_SERVICES = ("/grpc.health.v1.", "/grpc.reflection.")
"""What is served without credentials."""
_CACHE_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """A known caller."""

    name: str
    scopes: frozenset[str]


ANONYMOUS = Principal("anonymous", frozenset())
"""The caller where auth is off."""


class _PrincipalEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")
    scopes: list[str]
    token_sha256: list[str] = []
    certificates: list[str] = []


class _AuthFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    principals: list[_PrincipalEntry]


def new_token() -> tuple[str, str]:
    """A new token with 256 random bits, and the hash of it that an auth file keeps."""
    token = f"souk_{secrets.token_urlsafe(32)}"
    return token, token_hash(token)


def token_hash(token: str) -> str:
    """SHA-256 of a token in hexadecimal. A token is random, so that a slow password hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


class Authenticator:
    """Knows the principals of one auth file; `reload` reads it again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._tokens: list[tuple[bytes, Principal]] = []
        self._certificates: dict[str, Principal] = {}
        self._verified: dict[str, Principal] = {}
        self.reload()

    def reload(self) -> bool:
        """Read the file again if it has changed; True if it has. ValueError, and the old principals stay, where it is not as it
        must be."""
        stat = self._path.stat()
        if (stat.st_mtime_ns, stat.st_ino) == self._read_at:
            return False
        try:
            loaded = yaml_text.load(self._path.read_text())
            if not isinstance(loaded, dict):
                raise ValueError("must be a mapping with a list of `principals`")  # noqa: TRY004 — of a file, not of an argument
            entries = _AuthFile.model_validate(loaded).principals
            tokens, certificates = [], {}
            for entry in entries:
                principal = Principal(entry.name, frozenset(entry.scopes))
                tokens += [(bytes.fromhex(_sha256(digest)), principal) for digest in entry.token_sha256]
                certificates.update(dict.fromkeys(entry.certificates, principal))
        except ValidationError as error:
            raise ValueError(f"{self._path}: {'; '.join(problems(error, '.'.join))}") from error
        except (yaml.YAMLError, ValueError) as error:
            raise ValueError(f"{self._path}: {error}") from error
        self._tokens, self._certificates, self._verified = tokens, certificates, {}
        self._read_at = (stat.st_mtime_ns, stat.st_ino)
        return True

    def by_authorization(self, header: str) -> Principal:
        """The principal of an `authorization` header; ServiceError UNAUTHENTICATED where it is nobody's."""
        known = self._verified.get(header)
        if known is not None:
            return known
        scheme, _, token = header.partition(" ")
        found = self.by_digest(hashlib.sha256(token.strip().encode()).digest())
        if found is None or scheme.lower() != "bearer":
            raise _unauthenticated("CREDENTIALS_INVALID", "the token is not known here")
        if len(self._verified) >= _CACHE_SIZE:
            self._verified.clear()
        self._verified[header] = found
        return found

    def by_digest(self, digest: bytes) -> Principal | None:
        """The principal whose token has this SHA-256; None where there is none. For sessions that were opened with the token."""
        found = None
        for candidate, principal in self._tokens:  # all of them, so that the time tells nothing
            if hmac.compare_digest(candidate, digest):
                found = principal
        return found

    def by_certificate(self, shown: Iterable[str]) -> Principal:
        """The principal of the names in a verified client certificate; ServiceError UNAUTHENTICATED where it is nobody's."""
        for name in shown:
            if name in self._certificates:
                return self._certificates[name]
        raise _unauthenticated("CREDENTIALS_INVALID", "the client certificate is not known here")


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> list[str]:
    """The names in the verified client certificate of a call; none where there is no certificate."""
    found = [*auth_context.get("x509_subject_alternative_name", ()), *auth_context.get("x509_common_name", ())]
    return [name.decode(errors="replace") for name in found]


def authenticate(authenticator: Authenticator, header: str | None, certificate: Iterable[str]) -> Principal:
    """Who calls: by token where there is one, else by certificate."""
    if header is not None:
        return authenticator.by_authorization(header)
    shown = list(certificate)
    if shown:
        return authenticator.by_certificate(shown)
    raise _unauthenticated("CREDENTIALS_MISSING", "the call carries no credentials: send `authorization: Bearer <token>`")


def authorize(principal: Principal, method: str, scopes: Mapping[str, str]) -> None:
    """Raise PERMISSION_DENIED unless `principal` has the scope of `method`; a method without a scope is nobody's."""
    scope = scopes.get(method)
    if scope is None:
        raise _denied(principal, "")
    check_scope(principal, scope)


def check_scope(principal: Principal, scope: str) -> None:
    """Raise PERMISSION_DENIED unless `principal` has `scope`, or auth is off."""
    if principal is not ANONYMOUS and scope not in principal.scopes:
        raise _denied(principal, scope)


def _denied(principal: Principal, scope: str) -> ServiceError:
    return ServiceError(
        grpc.StatusCode.PERMISSION_DENIED,
        "SCOPE_MISSING",
        f"{principal.name} lacks the scope {scope or 'of this method'}",
        metadata={"scope": scope, "principal": principal.name},
    )


def _unauthenticated(reason: str, text: str) -> ServiceError:
    return ServiceError(grpc.StatusCode.UNAUTHENTICATED, reason, text)


def _sha256(digest: str) -> str:
    if len(digest) != 64 or not all(letter in "0123456789abcdef" for letter in digest):
        raise ValueError("token_sha256 must be 64 hexadecimal digits in lower case")
    return digest
