"""Secrets and personal data within a text, whatever the field that it is in is called.

Every detector is a cheap sign that is looked for in the whole event, and a pattern that is applied to the texts only where the sign
was found. All patterns take time in proportion to the text: what repeats is bounded, or cannot give back.
"""

import base64
import binascii
import ipaddress
import re

from souk_monitor.scrubbing.detectors import ADDRESS, EMAIL, SECRET, Detector, Rewrite, always, sub
from souk_monitor.scrubbing.logins import LOGINS
from souk_monitor.scrubbing.numbers import NUMBERS
from souk_monitor.scrubbing.signs import LETTERS
from souk_monitor.scrubbing.wallets import WALLETS

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----(?:(?!-----END)[\s\S])*(?:-----END[A-Z0-9 ]{0,60}-----)?")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{10,}+(?:\.[\w-]*+){0,4}")
_BEARER = re.compile(r"(?i)(?<![a-z])(bearer|negotiate|dpop)([ :=]{1,3})([\w.~+/=:-]{8,}+)")
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
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@(?:[\w-]{1,63}+\.){1,8}[^\W\d_]{2,63}+")
_ENCODED_EMAIL = re.compile(
    r"(%(?:25){0,3}(?:3[AaBbCcDd]|2[0267Cc])|(?<![\w.+%-]))(?:[\w.+-]|%(?:25){0,3}(?:2[BbDdEe]|5[Ff]))+"
    r"%(?:25){0,3}40(?:[\w-]{1,63}+\.){1,8}[^\W\d_]{2,63}+"
)
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])")
_LONG = 16


def _keep_scheme(match: re.Match[str]) -> str:
    scheme, between, token = match.groups()
    is_word = token.isalpha() and (token.islower() or token.istitle()) and len(token) < 20  # as in "Bearer authentication"
    return match[0] if is_word else f"{scheme}{between}{SECRET}"


def _keep_basic(match: re.Match[str]) -> str:
    scheme, between, token = match.groups()
    try:
        known = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return match[0]
    return f"{scheme}{between}{SECRET}" if b":" in known else match[0]


def _ip(match: re.Match[str]) -> str:
    text = match[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    is_version = address.version == 4 and text.endswith(".0.0.0")  # as browsers write theirs
    return text if address.is_loopback or address.is_unspecified or is_version else ADDRESS


_IPV4_SIGN = (
    r"\.[0-9]{0,2}[1-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]|\.[0-9]{1,3}\.[0-9]{0,2}[1-9][0-9]{0,2}\.[0-9]"
    r"|\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{0,2}[1-9]"
)
"""Not of what browsers write as versions, 120.0.0.0."""
_IPV6_SIGN = r":(?::[0-9a-fA-F]|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]{0,4}:)|[0-9a-fA-F]::(?:[^0-9A-Za-z_:]|$)"
_EMAIL_SIGN = rf"[{LETTERS}.+%-](?:@|%(?:25)*40)[{LETTERS}-]+\.[{LETTERS}.-]*[A-Za-z\x80-\xff]{{2}}"

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
EMAILS = (Detector(_EMAIL_SIGN, always(Rewrite(6, "@", sub(_EMAIL, EMAIL)), Rewrite(8, "40", sub(_ENCODED_EMAIL, rf"\1{EMAIL}")))),)
ADDRESSES = (
    Detector(_IPV4_SIGN, always(Rewrite(7, ".", sub(_IPV4, _ip)))),
    Detector(_IPV6_SIGN, always(Rewrite(3, ":", sub(_IPV6, _ip)))),
)
