"""Messages without what changes in them: ids, numbers, times, addresses, paths and quoted text become `*`.

Words are looked at one by one and only once, and those of letters alone are passed by: the time is linear in the message's length.
What kind a value is does not count, so that an id that is all digits once and hexadecimal the next time stays one message;
`kind_of` is for those who ask why.
"""

import re

LONGEST = 1000
"""Characters of a message that count."""

_LONGEST_WORD = 200
"""A longer one is data, whatever it is made of."""

_QUOTED = re.compile(
    r"\"[^\"\n]{0,400}\"|(?<![\w'])'[^'\n]{0,400}'(?!\w)|`[^`\n]{0,400}`|“[^”\n]{0,400}”|«[^»\n]{0,400}»|‘[^’\n]{0,400}’"
)
_OPENING = "([{<\"'`*,;:=|#$€£"
_CLOSING = ")]}>\"'`*,;:.!?…|="
_BESIDE_NUMBERS = ".:,%"
_AROUND = _OPENING + _CLOSING
_NUMBER = re.compile(r"[+~≈-]?\d[\w.:,+%/@-]*").fullmatch
"""Numbers, times, dates, sizes, durations, addresses with port, 0x…, ids."""

_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE).fullmatch
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+").fullmatch
_HOST = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+):\d{1,5}").fullmatch
_COLONS = re.compile(r"[(<]?\[?[0-9a-f:.]{3,45}(?:%\w{1,15})?\]?(?::\d{1,5})?[).,;>]*", re.IGNORECASE).fullmatch
"""Addresses of IP version 6 and of hardware."""

_VALUE_OF_KEY = re.compile(r"(?<=\w)=[^\s=,;&()\[\]{}<>|]+")
_WITH_DIGITS = re.compile(
    r"(?=[a-f]*\d)[0-9a-f]{6,}(?![A-Za-z0-9])|([A-Za-z]+)\d+(?:[.,]\d+)*(?![A-Za-z0-9])|[A-Za-z0-9]*\d[A-Za-z0-9]*(?:[.,]\d+)*"
)
"""Ids become `*`, and names that end in a number keep the name: `user42` is `user*`."""

_UUID_WITHIN = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])")
_CASES = re.compile(r"[a-z][A-Z]|[A-Z][a-z]")
_STARS = re.compile(r"\*(?:[\s,;:/.-]{0,3}\*)+")


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_UNITS = _words(
    "ns us µs ms s sec secs second seconds m min mins minute minutes h hr hrs hour hours d day days week weeks month months year",
    "years b kb mb gb tb kib mib gib tib byte bytes bit bits am pm utc gmt cet cest est edt pst pdt eur usd gbp eth wei gwei",
)
_CALENDAR = _words(
    "mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday jan feb mar apr may jun jul aug sep sept",
    "oct nov dec january february march april june july august september october november december",
)
_NAMES = _words(
    "sha1 sha224 sha256 sha384 sha512 md5 utf8 utf-8 utf16 utf-16 latin1 iso-8859-1 cp1252 s3 ec2 ipv4 ipv6 http2 http/1.1 http/2",
    "http/3 h2 h2c oauth2 base64 base32 x509 x86_64 arm64 amd64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64",
    "erc20 erc721 erc1155 erc-20 erc-721 erc-1155 web3 k8s p2p b2b i18n l10n log4j mp3 mp4 h264 h265 av1 vp9 win32 tls1.2 tls1.3",
    "tlsv1.2 tlsv1.3 ed25519 secp256k1 ripemd160 keccak256 sqlite3 psycopg2 boto3 urllib3 jinja2 python3 python2 neo4j db2 l1 l2",
    "i/o c++11 v8 es6 u2f",
)
"""Words with digits that are names."""


def _is_uuid(word: str) -> bool:
    return len(word) == 36 and word.count("-") == 4 and _HEX(word.replace("-", "")) is not None


def _masked(word: str) -> str:
    """A word that is not of letters alone, with `*` for what changes in it."""
    if _is_uuid(word):
        return "*"
    if len(word) > _LONGEST_WORD or (word[0].isdigit() and _NUMBER(word)) or (word.count(":") > 1 and _COLONS(word)):
        return "*"
    tail = word.lstrip(_OPENING)
    core = tail.rstrip(_CLOSING)
    if core.isalpha() or not core:
        return word
    masked = _core(core)
    if masked == "*" and len(tail) == len(word) and not word[len(core) :].strip(_BESIDE_NUMBERS):
        return "*"  # as of a number, which may have them within
    return masked if len(core) == len(word) else f"{word[: len(word) - len(tail)]}{masked}{tail[len(core) :]}"


def _core(core: str) -> str:
    if core[0].isdigit() or (core[0] in "+-~≈" and core[1:2].isdigit()):
        return "*" if _NUMBER(core) else _pieces(core)
    if core.isalnum():
        return _alphanumeric(core)
    if "/" in core or "\\" in core:
        if core[0] in "/~." or "://" in core or ":\\" in core or core.count("/") > 1 or core.count("\\") > 1:
            key, equals, _ = core.partition("=")
            return f"{key}=*" if equals and key.isidentifier() else "*"
    elif ("@" in core and _EMAIL(core)) or core.endswith(".eth") or (":" in core and _HOST(core)):
        return "*"
    return _pieces(core)


def _alphanumeric(core: str) -> str:
    """`user42` is `user*`, and what has digits within is an id as a whole."""
    if core.lower() in _NAMES:
        return core
    if not core.isascii():  # of languages that have no spaces between words
        return _pieces(core)
    letters = core.rstrip("0123456789")
    return f"{letters}*" if letters.isalpha() and not (len(core) > 5 and _HEX(core)) else "*"


def _pieces(core: str) -> str:
    """Of words that are put together, each."""
    if _is_uuid(core) or core.startswith("eyJ"):
        return "*"
    if core.lower() in _NAMES:
        return core
    if core.count("-") > 3:
        core = _UUID_WITHIN.sub("*", core)
    if "=" in core:
        core = _VALUE_OF_KEY.sub("=*", core)
    if len(core) >= 20 and len(_CASES.findall(core)) > len(core) / 4:
        return "*"
    return _WITH_DIGITS.sub(r"\1*", core)


def parameterise(message: str) -> str:
    """A message with `*` for each value in it; of the first 1,000 characters, with single spaces."""
    message = message[:LONGEST]
    if '"' in message or "'" in message or "`" in message or not message.isascii():
        message = _QUOTED.sub("*", message)
    out: list[str] = []
    after_value = False
    calendar = 0
    for word in message.split():
        if word.isalpha():
            if after_value and word.lower() in _UNITS:
                continue
            after_value = False
            calendar = calendar + 1 if len(word) < 10 and word.lower() in _CALENDAR else 0
            out.append(word)
            continue
        if after_value and word[-1] in _CLOSING and (unit := word.rstrip(_CLOSING)).lower() in _UNITS and unit.isalpha():
            out[-1] += word[len(unit) :].lstrip(_BESIDE_NUMBERS)
            after_value = False
            continue
        masked = _masked(word)
        after_value = masked[-1] == "*"
        if calendar and masked[0] == "*":
            del out[-calendar:]
        calendar = 1 if word[-1] == "," and word[:-1].lower() in _CALENDAR else 0
        out.append(masked)
    text = " ".join(out)
    return _STARS.sub("*", text) if text.count("*") > 1 else text


_KINDS = (
    ("uuid", re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)),
    ("url", re.compile(r"[a-z][a-z0-9+.-]{1,20}://\S+", re.IGNORECASE)),
    ("e-mail", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")),
    ("wallet", re.compile(r"0x[0-9a-f]{40}", re.IGNORECASE)),
    ("hash", re.compile(r"(?:0x)?[0-9a-f]{32,128}", re.IGNORECASE)),
    ("memory address", re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE)),
    ("date", re.compile(r"\d{4}-\d\d-\d\d(?:[T_]\d\d:\d\d\S*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")),
    ("time", re.compile(r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")),
    (
        "ip address",
        re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?(?:/\d+)?|\[?(?=\S*:\S*:)[0-9a-f:]{2,39}\]?(?::\d+)?", re.IGNORECASE),
    ),
    ("duration", re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+")),
    ("size", re.compile(r"\d+(?:\.\d+)?(?:[KMGT]i?B|B)", re.IGNORECASE)),
    ("token", re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")),
    ("name in ENS", re.compile(r"[\w.-]+\.eth")),
    ("host and port", re.compile(r"[\w.-]+:\d{1,5}")),
    ("path", re.compile(r"(?:~|\.{0,2}|[A-Za-z]:)?[/\\]\S*")),
    ("number", re.compile(r"[+-]?\d[\d.,]*(?:e[+-]?\d+)?%?", re.IGNORECASE)),
    ("hexadecimal", re.compile(r"[0-9a-f]{6,}", re.IGNORECASE)),
)


def kind_of(value: str) -> str:
    """What kind of value a word is, for people."""
    core = value.strip(_AROUND)[:_LONGEST_WORD]
    return next((name for name, pattern in _KINDS if pattern.fullmatch(core)), "value")
