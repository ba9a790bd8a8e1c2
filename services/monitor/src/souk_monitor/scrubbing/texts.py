"""Secrets and personal data within a text, whatever the field that it is in is called.

Every detector is a cheap sign that is looked for in the whole event, and a pattern that is applied to the texts only where the sign
was found. All patterns take time in proportion to the text: what repeats is bounded, or cannot give back.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from importlib.resources import files

import re2

from souk_monitor.scrubbing.detectors import ADDRESS, EMAIL, SECRET, Detector, Rewrite, always, sub
from souk_monitor.scrubbing.logins import LOGINS
from souk_monitor.scrubbing.signs import ESCAPE, LETTERS, Run

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----(?:(?!-----END)[\s\S])*+(?:-----END[A-Z0-9 ]{0,60}-----)?"
)
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
_HEX_KEY = re.compile(r"(?<![0-9A-Za-z])(?:0[xX])?(?:[0-9a-fA-F]{128}|[0-9a-fA-F]{64})(?![0-9A-Za-z])")
_HASH_WORDS = re.compile(
    r"(?i)(?:hash|tx|txn|transaction|block|sha-?\d*|digest|root|etag|checksum|commit|topics?|cid|image)\W{0,8}$"
)
_BASE58_KEY = re.compile(
    r"(?<![0-9A-Za-z])(?:[5KL9c][1-9A-HJ-NP-Za-km-z]{50,51}|[xyzt]prv[1-9A-HJ-NP-Za-km-z]{90,120}|[1-9A-HJ-NP-Za-km-z]{87,88})"
    r"(?![0-9A-Za-z])"
)
_CARD = re.compile(r"(?<![\d.])(?<!\d[ -])[2-6]\d{2,3}+(?:[ -]?\d){8,16}(?![ -]?\d)")
_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14,17}|6\d{15,18}|5[06-9]\d{10,17}"
)
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@(?:[\w-]{1,63}+\.){1,8}[^\W\d_]{2,63}+")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])")
_WORDS = re.compile(r"(?<![A-Za-z])[A-Za-z]++(?:(?:\s|,|\\n|\d{1,2}[.)])++[A-Za-z]++){11,}")
_WORD = re.compile(r"[A-Za-z]+")
_MNEMONIC_WORDS = 12
_DIFFERENT_WORDS = 8
"""Of 12 that are drawn of 2048 hardly ever fewer are different; phrases of tests, which repeat one word, are known."""
_TEST_PHRASES = (b"abandon abandon", b"test test test", b"zoo zoo zoo")
_LONG = 16


def _wordlist() -> frozenset[str]:
    return frozenset(files(__package__).joinpath("bip39_english.txt").read_text("ascii").split())


_BIP39 = _wordlist()
"""The English words of BIP-39, of which the recovery phrases of wallets are made."""

_BIP39_FORMS = frozenset(form.encode() for word in _BIP39 for form in (word, word.title(), word.upper()))
_LETTER_CLASS = bytes(c if c < 128 and chr(c).isalpha() else ord(" ") for c in range(256))
_HEX_CLASS = bytes(ord("h") if chr(c) in "0123456789abcdefABCDEF" else ord(".") for c in range(256))
_DIGIT_CLASS = bytes(ord("0") if chr(c).isdigit() and c < 128 else ord(".") for c in range(256))
_BASE58_CLASS = bytes(
    ord("b") if chr(c) in "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz" else ord(".") for c in range(256)
)


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


def _hex_key(match: re.Match[str]) -> str:
    """64 digits may be a private key as well as a hash: it is a hash where the word before says so."""
    before = match.string[max(0, match.start() - 32) : match.start()]
    return match[0] if _HASH_WORDS.search(before) else SECRET


def is_card(digits: str) -> bool:
    """Whether it is a number of a payment card: of a known brand's form, with the right last digit (ISO/IEC 7812-1, Luhn)."""
    if not _BRANDS.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def _card(match: re.Match[str]) -> str:
    return SECRET if is_card(match[0].replace(" ", "").replace("-", "")) else match[0]


def _ip(match: re.Match[str]) -> str:
    text = match[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    is_version = address.version == 4 and text.endswith(".0.0.0")  # as browsers write theirs
    return text if address.is_loopback or address.is_unspecified or is_version else ADDRESS


def _mnemonic(match: re.Match[str]) -> str:
    """The run of words without those parts of it that are 12 or more words of the list."""
    text, kept, end = match[0], [], 0
    run: list[re.Match[str]] = []
    for word in (*_WORD.finditer(text), None):
        if word is not None and word[0].lower() in _BIP39:
            run.append(word)
            continue
        if len(run) >= _MNEMONIC_WORDS:
            kept += [text[end : run[0].start()], SECRET]
            end = run[-1].end()
        run = []
    return "".join((*kept, text[end:]))


def _recovery_phrases(body: bytes) -> Iterator[Rewrite]:
    words = _ESCAPES.sub(b" ", body).translate(_LETTER_CLASS).split()
    few = len(_BIP39_FORMS.intersection(words)) < _DIFFERENT_WORDS and not any(phrase in body for phrase in _TEST_PHRASES)
    if not few and b"\1" * _MNEMONIC_WORDS in bytes(map(_BIP39_FORMS.__contains__, words)):
        yield Rewrite(47, "", sub(_WORDS, _mnemonic))


def _keys(body: bytes) -> Iterator[Rewrite]:
    if b"h" * 64 in body.translate(_HEX_CLASS):
        yield Rewrite(64, "", sub(_HEX_KEY, _hex_key))
    if b"b" * 51 in body.translate(_BASE58_CLASS):
        yield Rewrite(51, "", sub(_BASE58_KEY))


def _cards(body: bytes) -> Iterator[Rewrite]:
    """One for each number: other texts are not looked at."""
    for match in _NUMBERS.finditer(body):
        number = match[1].decode()
        if is_card(number.replace(" ", "").replace("-", "")):
            yield Rewrite(12, number, sub(_CARD, _card))


def may_be_card(number: int) -> bool:
    """Whether a whole number that is no text is one of a card."""
    return 10**11 < number < 10**19 and is_card(str(number))


_ESCAPES = re.compile(rb"\\\\?[bfnrt]|\\u00[01][0-9a-f]")
_BEFORE_CARD = rf"(?:^|[^0-9. -]|(?:^|[^0-9])[ -]|{ESCAPE})"


def _digits(first: str, *counts: int) -> str:
    """Digits as `first` says, and so many others, with or without spaces and dashes between them."""
    others = "|".join(rf"(?:[ -]?[0-9]){{{count}}}" for count in counts)
    return rf"{first}(?:{others})"


_CARD_SIGN = (
    _BEFORE_CARD
    + "(?:"
    + "|".join(
        (
            _digits("4", 12, 15, 18),
            _digits("5[1-5]", 14),
            _digits("2[2-7]", 14),
            _digits("3[47]", 13),
            _digits("3[0689]", 12),
            _digits("35", *range(14, 18)),
            _digits("6", *range(15, 19)),
            _digits("5[06-9]", *range(10, 18)),
        )
    )
    + r")(?:[^0-9 -]|[ -](?:[^0-9]|$)|$)"
)
"""Numbers as long as those of `_BRANDS`."""


def _bytes_pattern(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode("ascii"), options)


_NUMBERS = _bytes_pattern(rf"{_BEFORE_CARD}([2-6][0-9]{{2,3}}(?:[ -]?[0-9]){{8,16}})")
_PHRASE_SIGN = rf"[A-Za-z]+(?:(?:[ ,\x80-\xff]|{ESCAPE}|\\\\n|[0-9]{{1,2}}[.)])+[A-Za-z]+){{11}}"
_IPV4_SIGN = (
    r"\.[0-9]{0,2}[1-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]|\.[0-9]{1,3}\.[0-9]{0,2}[1-9][0-9]{0,2}\.[0-9]"
    r"|\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{0,2}[1-9]"
)
"""Not of what browsers write as versions, 120.0.0.0."""
_IPV6_SIGN = r":(?::[0-9a-fA-F]|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]{0,4}:)"
_EMAIL_SIGN = rf"[{LETTERS}.+%-]@[{LETTERS}-]+\.[{LETTERS}.-]*[A-Za-z\x80-\xff]{{2}}"

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
    Detector(Run(51), lambda body: tuple(_keys(body))),
    Detector(_CARD_SIGN, lambda body: tuple(_cards(body))),
    Detector(_PHRASE_SIGN, lambda body: tuple(_recovery_phrases(body))),
)
EMAILS = (Detector(_EMAIL_SIGN, always(Rewrite(6, "@", sub(_EMAIL, EMAIL)))),)
ADDRESSES = (
    Detector(_IPV4_SIGN, always(Rewrite(7, ".", sub(_IPV4, _ip)))),
    Detector(_IPV6_SIGN, always(Rewrite(3, ":", sub(_IPV6, _ip)))),
)
