"""Secrets within a text, whatever the field that it is in is called.

Every detector is a cheap sign that is looked for in the whole event, and a pattern that is applied to the texts only where the sign
was found. All patterns take time in proportion to the text: what repeats is bounded, or cannot give back.
"""

import base64
import binascii
import re

from souk_monitor.scrubbing.detectors import SECRET, Detector, Rewrite, always, sub
from souk_monitor.scrubbing.logins import LOGINS
from souk_monitor.scrubbing.numbers import NUMBERS
from souk_monitor.scrubbing.signs import LETTERS
from souk_monitor.scrubbing.wallets import WALLETS

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----(?:(?!-----END)[\s\S])*(?:-----END[A-Z0-9 ]{0,60}-----)?")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{10,}+(?:\.[\w-]*+){0,4}")
_BEARER = re.compile(r"(?i)(?<![a-z])(bearer|negotiate|dpop)([ :=]{1,3})([\w.~+/=:-]{8,}+)")
_PARAMETER = re.compile(r"[a-z]+_[a-z_]+=")
"""Of a challenge: WWW-Authenticate: Bearer authorization_uri="…"."""
_BASIC = re.compile(r"(?i)(?<![a-z])(basic)([ :=]{1,3})([\w+/=-]{6,}+)")
_PREFIXED = (
    r"(?:(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|(?:sk|rk|pk)_(?:live|test)_\w{8,}|whsec_[\w+/=]{8,}"
    r"|gh[opsur]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{8,}|xapp-[\w-]{8,}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}|GOCSPX-[\w-]{16,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|key-[0-9a-f]{32}|SK[0-9a-f]{32}"
    r"|sk-[\w-]{16,}|hf_\w{16,}|npm_\w{16,}|pypi-[\w-]{16,}|dop_v1_\w{16,}|shp(?:at|ca|pa|ss)_\w{16,}|hv[sb]\.[\w-]{16,}"
    r"|sq0(?:atp|csp)-[\w-]{16,}|EAAA[\w-]{32,}|sntry[su]_[\w+/=]{16,}|rzp_(?:live|test)_\w{8,}|access_token\$\w+\$\w{8,}\$\w{16,}"
    r")"
)
_BOT = re.compile(r"(?<!\d)\d{3,12}:AA[\w-]{20,}+")
_LONG = 16


def _keep_scheme(match: re.Match[str]) -> str:
    scheme, between, token = match.groups()
    if _PARAMETER.fullmatch(token):
        return match[0]
    is_word = token.isalpha() and (token.islower() or token.istitle()) and len(token) < 20  # as in "Bearer authentication"
    return match[0] if is_word else f"{scheme}{between}{SECRET}"


def _keep_basic(match: re.Match[str]) -> str:
    scheme, between, token = match.groups()
    try:
        known = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return match[0]
    return f"{scheme}{between}{SECRET}" if b":" in known else match[0]


SECRETS: tuple[Detector, ...] = (
    Detector("PRIVATE KEY", always(Rewrite(27, "PRIVATE KEY", sub(_PEM)))),
    *LOGINS,
    Detector(rf"eyJ[{LETTERS}-]{{10}}", always(Rewrite(13, "eyJ", sub(_JWT)))),
    Detector(
        rf"(?i:bearer|negotiate|dpop)[ :=]{{1,3}}[{LETTERS}.~+/=:-]{{8}}", always(Rewrite(12, "", sub(_BEARER, _keep_scheme)))
    ),
    Detector(rf"(?i:basic)[ :=]{{1,3}}[{LETTERS}+/=-]{{6}}", always(Rewrite(12, "", sub(_BASIC, _keep_basic)))),
    Detector(
        _PREFIXED.replace(r"[\w", f"[{LETTERS}").replace(r"\w", f"[{LETTERS}]"),
        always(Rewrite(_LONG, "", sub(re.compile(rf"(?<![A-Za-z0-9]){_PREFIXED}")))),
    ),
    Detector(rf"[0-9]:AA[{LETTERS}-]{{20}}", always(Rewrite(24, ":AA", sub(_BOT)))),
    *NUMBERS,
    *WALLETS,
)
