"""Numbers of payment cards and of bank accounts."""

import re
from collections.abc import Iterator

import re2

from souk_monitor.scrubbing.detectors import SECRET, Detector, Rewrite, always, sub
from souk_monitor.scrubbing.signs import ESCAPE

_CARD = re.compile(r"(?<![\d.])(?<!\d[ -])[2-6]\d{2,3}+(?:[ -]?\d){8,16}(?![ -]?\d)")
_GROUPED_CARD = re.compile(
    "(?<![0-9.])[2-6][0-9]{3}(?P<between>[._\u00a0\u2009\u202f])[0-9]{4,6}(?P=between)[0-9]{4,5}(?:(?P=between)[0-9]{1,7})?(?![0-9])"
)
_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14,17}|6\d{15,18}|5[06-9]\d{10,17}"
)
_BEFORE_CARD = rf"(?:^|[^0-9. -]|(?:^|[^0-9])[ -]|{ESCAPE})"
_ACCOUNTS = {
    15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST",
    26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE",
    31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
"""Letters and digits of an IBAN, by country (ISO 13616)."""
_SPACE = "[ \u00a0-]?"


def _account_of(length: int, countries: str) -> str:
    """In groups of four, the last one shorter."""
    groups, rest = divmod(length - 4, 4)
    last = f"{_SPACE}[0-9A-Z]{{{rest}}}" if rest else ""
    return f"(?:{countries.replace(' ', '|')})[0-9]{{2}}(?:{_SPACE}[0-9A-Z]{{4}}){{{groups}}}{last}"


_ACCOUNT = re.compile(f"(?<![0-9A-Za-z])(?:{'|'.join(_account_of(*each) for each in _ACCOUNTS.items())})(?![0-9A-Za-z])")


def is_card(digits: str) -> bool:
    """Whether it is a number of a payment card: of a known brand's form, with the right last digit (ISO/IEC 7812-1, Luhn)."""
    if not _BRANDS.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def may_be_card(number: float) -> bool:
    """Whether a whole number that is no text is one of a card."""
    return 10**11 < number < 10**19 and number == int(number) and is_card(str(int(number)))


def _card(match: re.Match[str]) -> str:
    return SECRET if is_card("".join(filter(str.isdecimal, match[0]))) else match[0]


def _account(match: re.Match[str]) -> str:
    """An IBAN with the right check digits (ISO 7064, mod 97-10)."""
    text = "".join(filter(str.isalnum, match[0]))
    value = "".join(str(int(letter, 36)) for letter in text[4:] + text[:4])
    return SECRET if int(value) % 97 == 1 else match[0]


def _cards(body: bytes) -> Iterator[Rewrite]:
    """One for each number: other texts are not looked at."""
    for match in _NUMBERS.finditer(body):
        number = match[1].decode()
        if is_card(number.replace(" ", "").replace("-", "")):
            yield Rewrite(12, number, sub(_CARD, _card))


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
_GROUP = r"(?:[._]|\xc2\xa0|\xe2\x80[\x89\xaf])"
_GROUPED_SIGN = rf"{_GROUP}[0-9]{{4,6}}{_GROUP}[0-9]{{4}}"
_ACCOUNT_SIGN = r"[A-Z]{2}[0-9]{2}(?:[ -]|\xc2\xa0)?[0-9A-Z]{4}"


def _bytes_pattern(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode("ascii"), options)


_NUMBERS = _bytes_pattern(rf"{_BEFORE_CARD}([2-6][0-9]{{2,3}}(?:[ -]?[0-9]){{8,16}})")

NUMBERS: tuple[Detector, ...] = (
    Detector(_CARD_SIGN, lambda body: tuple(_cards(body))),
    Detector(_GROUPED_SIGN, always(Rewrite(14, "", sub(_GROUPED_CARD, _card)))),
    Detector(_ACCOUNT_SIGN, always(Rewrite(15, "", sub(_ACCOUNT, _account)))),
)
