"""Keys and recovery phrases of wallets."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

from souk_monitor.scrubbing.detectors import SECRET, Detector, Rewrite, sub
from souk_monitor.scrubbing.signs import ESCAPE, Run

_HEX_KEY = re.compile(r"(?<![0-9A-Za-z])(?:0[xX])?(?:[0-9a-fA-F]{128}|[0-9a-fA-F]{64})(?![0-9A-Za-z])")
_HASH_WORDS = re.compile(r"(?i)(?:hash|sha-?\d*|digest|etag|checksum|merkle|topics?|fingerprint|thumbprint)\W{0,8}$")
_OWNERS = re.compile(
    r"(?i)\b(?:tx|txn|txid|transaction|block|root|commit|cid|image|receipt|uncle|bundle|parent|proof"
    r"|containers?|containerd|container[_.]id|docker|crio|libpod|moby|overlay2|layers?)\W{0,8}$"
)
_LOOSE_WORDS = re.compile(r"(?i)\b(?:event|log|slot|state|order|call|operation)\W{0,8}$")
"""The same where the digits have a 0x."""
_SIGNING = re.compile(
    r"(?i)\bsign(?:s|ing)?\b|key|private|secret|seed|unlock|decrypt|import|wallet|signer|\bpk\b|session|cookie|login|\bauth\b|\bapi\b"
)
_KEPT_IN = re.compile(r"(?i)keystore|\bpk\b|session|cookie|login|\bauth\b|\bapi\b")
_FATE = re.compile(
    r"\W{1,3}(?:(?:was|is|has|been|not|already|never|yet) ){0,3}"
    r"(?:missing|found|revert|mined|confirmed|pending|dropped|replaced|included|underpriced|broadcast|timed out)"
)
"""Of a transaction."""
_CONTAINER = re.compile(r"-json\.log|\.scope\b")
"""What is after the id of one, in names of files."""
_BASE58_KEY = re.compile(
    r"(?<![0-9A-Za-z])(?:[5KL9c][1-9A-HJ-NP-Za-km-z]{50,51}|[xyzt]prv[1-9A-HJ-NP-Za-km-z]{90,120}|[1-9A-HJ-NP-Za-km-z]{87,88})"
    r"(?![0-9A-Za-z])"
)
_WORD = re.compile("[A-Za-z]+")
_GAPS = (
    re.compile("(?:[ \t\r\n\f,\x80-\U0010ffff]|[0-9]{1,2}[.):])+"),
    re.compile(r"[\\\"']+[ \t\r\n\f,]*[\\\"']+"),
    re.compile(" ?(?:[-+;|]|%20) ?"),
)
"""What is between words of a phrase: spaces or numbers, as in a list, or as in one word."""
_GAP_SIGNS = (
    rf"(?:[ ,\x80-\xff]|{ESCAPE}|\\\\n|[0-9]{{1,2}}[.):])+",
    rf"[\\\"']+(?:[ ,]|{ESCAPE})*[\\\"']+",
    " ?(?:[-+;|]|%20) ?",
)
_PHRASE_WORDS = 12
_LISTED_WORDS = 10
"""Of a list: SDKs cut lists there, and the others are soon guessed."""
_PHRASE_SIGN = "|".join(
    f"[A-Za-z]+(?:{gap}[A-Za-z]+){{{count - 1}}}"
    for gap, count in zip(_GAP_SIGNS, (_PHRASE_WORDS, _LISTED_WORDS, _PHRASE_WORDS), strict=True)
)
_DIFFERENT_WORDS = 8
"""Of 12 that are drawn of 2048 hardly ever fewer are different; phrases of tests, which repeat one word, are known."""
_TEST_PHRASES = re.compile(rb"(abandon|test|zoo)[^A-Za-z]{1,5}\1")


def _wordlist() -> frozenset[str]:
    return frozenset(files(__package__).joinpath("bip39_english.txt").read_text("ascii").split())


_BIP39 = _wordlist()
"""The English words of BIP-39, of which the recovery phrases of wallets are made."""

_BIP39_FORMS = frozenset(form.encode() for word in _BIP39 for form in (word, word.title(), word.upper()))
_ESCAPES = re.compile(rb"\\\\?[bfnrt]|\\u00[01][0-9a-f]")
_LETTER_CLASS = bytes(c if c < 128 and chr(c).isalpha() else ord(" ") for c in range(256))
_HEX_CLASS = bytes(ord("h") if chr(c) in "0123456789abcdefABCDEF" else ord(".") for c in range(256))
_BASE58_CLASS = bytes(
    ord("b") if chr(c) in "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz" else ord(".") for c in range(256)
)


def is_hash(text: str) -> bool:
    """Whether a text may be nothing but a hash."""
    return _HEX_KEY.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether a text may be nothing but a hash, and is not written as keys of wallets are: with 0x."""
    return text[1:2] not in ("x", "X") and is_hash(text)


def _hex_key(match: re.Match[str]) -> str:
    """64 digits may be a private key as well as a hash: it is a hash where the words around it say so."""
    before = match.string[max(0, match.start() - 48) : match.start()]
    if _HASH_WORDS.search(before):
        return match[0]
    after = match.end()
    if match[0][1:2] in "xX":
        is_known = _OWNERS.search(before) or _LOOSE_WORDS.search(before) or _FATE.match(match.string, after)
    else:
        is_known = _OWNERS.search(before) or _CONTAINER.match(match.string, after)
    is_key = _SIGNING.search(before) or _KEPT_IN.search(match.string, after, after + 48)
    return match[0] if is_known and not is_key else SECRET


def _phrases(text: str) -> str:
    """The text without runs of 12 or more words of the list."""
    words = _WORD.findall(_plain(text).lower())
    if b"\1" * _PHRASE_WORDS in bytes(map(_BIP39.__contains__, words)):
        for gap in _GAPS:
            text = _without_runs(text, gap)
    return text


def _plain(text: str) -> str:
    """A text of the same length, without line breaks as dumps write them."""
    return text.replace("\\n", "  ")


def _without_runs(text: str, gap: re.Pattern[str]) -> str:
    plain = _plain(text)
    kept, end = [], 0
    run: list[re.Match[str]] = []
    for word in (*_WORD.finditer(plain), None):
        is_known = word is not None and word[0].lower() in _BIP39
        if word is not None and is_known and (not run or gap.fullmatch(plain, run[-1].end(), word.start())):
            run.append(word)
            continue
        if len(run) >= _PHRASE_WORDS:
            kept += [text[end : run[0].start()], SECRET]
            end = run[-1].end()
        run = [word] if word is not None and is_known else []
    return "".join((*kept, text[end:]))


def without_phrases(words: Sequence[object]) -> Sequence[object]:
    """A list without runs of 10 or more words of BIP-39."""
    if len(words) < _LISTED_WORDS:
        return words
    known = [isinstance(word, str) and word.strip("'\"").lower() in _BIP39 for word in words]
    kept: list[object] = []
    place = 0
    while place < len(words):
        end = next((end for end in range(place, len(words)) if not known[end]), len(words))
        run = words[place:end]
        kept += [SECRET] if len(run) >= _LISTED_WORDS and len(set(run)) >= _DIFFERENT_WORDS else run
        kept += words[end : end + 1]
        place = end + 1
    return kept


def _recovery_phrases(body: bytes) -> Iterator[Rewrite]:
    words = _ESCAPES.sub(b" ", body).translate(_LETTER_CLASS).split()
    few = len(_BIP39_FORMS.intersection(words)) < _DIFFERENT_WORDS and not _TEST_PHRASES.search(body)
    if not few and b"\1" * _LISTED_WORDS in bytes(map(_BIP39_FORMS.__contains__, words)):
        yield Rewrite(47, "", _phrases)


def _keys(body: bytes) -> Iterator[Rewrite]:
    if b"h" * 64 in body.translate(_HEX_CLASS):
        yield Rewrite(64, "", sub(_HEX_KEY, _hex_key))
    if b"b" * 51 in body.translate(_BASE58_CLASS):
        yield Rewrite(51, "", sub(_BASE58_KEY))


WALLETS: tuple[Detector, ...] = (
    Detector(Run(51), lambda body: tuple(_keys(body))),
    Detector(_PHRASE_SIGN, lambda body: tuple(_recovery_phrases(body))),
)
