"""Secrets in addresses and commands: passwords of URLs and connection strings, keys in paths, codes that are taken for a token."""

import re

from souk_monitor.scrubbing.detectors import SECRET, Detector, Rewrite, always, sub

_USERINFO = re.compile(r"(://[^\s/?#:@'\"<>]{0,128}:)(?!\d{1,5}[/?#])[^\s'\"<>]{1,256}?@(?=[\w.\[-][^\s@'\"<>]*+(?:[\s'\"<>]|$))")
_URL_TOKEN = re.compile(r"(://)[^\s/?#:@'\"<>]{12,256}+@")
_DRIVER = re.compile(r"((?<![\w.@/-])[\w.-]{1,64}:)[^\s'\"<>]{1,256}?(@(?:tcp6?|unix|udp)\()")
_ORACLE = re.compile(r"(?i)((?:jdbc:oracle:[a-z0-9]{1,8}:|sqlplus )[^\s/'\"@]{1,64}/)[^\s'\"@]{1,128}+(?=@)")
_CURL = re.compile(
    r"(\bcurl\b(?:(?! -u| --(?:proxy-)?user|\bcurl\b)[^\n])*"
    r" (?:-u|--(?:proxy-)?user)[ =]?\\*[\"']?[^\s:'\"\\]{0,128}:)[^\s'\"\\]++"
)
_COMMAND = re.compile(
    r"(\b(?:sshpass -p ?|redis-cli(?:(?! -a|\bredis-cli\b)[^\n])* -a |requirepass |masterauth )\\*[\"']?)[^\s'\"\\]++"
)
_MYSQL = re.compile(r"(\bmysql(?:dump|admin)?(?= -)(?:(?! -p|\bmysql)[^\n])* -p)[^\s'\"\\]++")
_SLASH = r"\\*/"
_PATHS = (
    rf"hooks\.slack\.com{_SLASH}(?:services|workflows|triggers){_SLASH}",
    rf"discord(?:app)?\.com{_SLASH}api{_SLASH}(?:v\d{{1,2}}{_SLASH})?webhooks{_SLASH}\d{{1,24}}{_SLASH}",
    rf"infura\.io{_SLASH}(?:ws{_SLASH})?v3{_SLASH}",
    rf"alchemy(?:api)?\.(?:com|io){_SLASH}(?:nft{_SLASH})?v\d{_SLASH}",
    rf"rpc\.ankr\.com{_SLASH}[a-z0-9_]{{1,24}}{_SLASH}",
    rf"quiknode\.pro{_SLASH}",
    rf"webhook\.office\.com{_SLASH}webhookb2{_SLASH}",
)
_PATH = "(?i:" + "|".join(_PATHS) + ")"
_PATH_SIGN = _PATH.replace("{1,2}", "+").replace("{1,24}", "+")
_PATH_KEY = re.compile(rf"({_PATH})[\w./@\\-]{{8,}}+")
_CODE = re.compile(
    r"(?i)((?:(?m:^)|[?&])(?:auth(?:orization)?_)?(?:code|(?:code|oauth)_verifier)=)([^\s&#\"'<>\\]{6,512}+)([^\s\"'<>]{0,512})"
)
_SIGNING_IN = re.compile(r"(?i)callback|oauth|authoriz|sign-?in|signin|log-?in|/auth|/sso|/token")
_STATE = re.compile(r"[?&](?:session_)?state=")
_LONG_CODE = 16
_WORDS = re.compile(r"[A-Z_]+|[A-Za-z]{1,12}(?:_[A-Za-z]{1,12}\d?){1,4}")
"""A code that says what went wrong, or a language."""


def _code(match: re.Match[str]) -> str:
    """A code of OAuth: it comes back where one signs in, or with a state, or is long and drawn by chance."""
    name, code, after = match.groups()
    if _WORDS.fullmatch(code):
        return match[0]
    before = match.string[max(0, match.start() - 200) : match.start()]
    is_drawn = len(code) >= _LONG_CODE and any(map(str.isdigit, code)) and any(map(str.islower, code))
    is_code = is_drawn or "verifier" in name or _SIGNING_IN.search(before) or _STATE.search(before + after)
    return f"{name}{SECRET}{after}" if is_code else match[0]


LOGINS: tuple[Detector, ...] = (
    Detector(
        r"://[^ '\"<>]*@",
        always(Rewrite(6, "://", sub(_USERINFO, rf"\1{SECRET}@")), Rewrite(16, "://", sub(_URL_TOKEN, rf"\1{SECRET}@"))),
    ),
    Detector(r"@(?:tcp6?|unix|udp)\(", always(Rewrite(8, "@", sub(_DRIVER, rf"\1{SECRET}\2")))),
    Detector(r"(?i:oracle:[a-z0-9]+:|sqlplus )[^@/]*/", always(Rewrite(10, "@", sub(_ORACLE, rf"\1{SECRET}")))),
    Detector("curl", always(Rewrite(10, "curl", sub(_CURL, rf"\1{SECRET}")))),
    Detector(
        "sshpass|redis-cli|requirepass|masterauth|mysql(?:dump|admin)? -",
        always(Rewrite(12, "", sub(_COMMAND, rf"\1{SECRET}")), Rewrite(9, "mysql", sub(_MYSQL, rf"\1{SECRET}"))),
    ),
    Detector(_PATH_SIGN, always(Rewrite(20, "/", sub(_PATH_KEY, rf"\1{SECRET}")))),
    Detector(r"(?i:code|verifier)=", always(Rewrite(12, "", sub(_CODE, _code)))),
)
