"""The shapes of secrets: formats that issuers publish, and the places where commands, URLs and code hold secrets.

All patterns run on RE2, whose time is linear in the text: no input can make them backtrack. They are written without
repetition counts above 64, so that the automaton stays small; lengths are checked after the match. Sources of the
formats: the documentation of each issuer, and the rules of gitleaks 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import re2

from starcoder_ls.context.secret_values import (
    is_any,
    is_generated,
    is_generated_of_all_classes,
    is_key_of_openai,
    is_mixed,
    is_password,
    is_placeholder,
    is_random,
    is_random_or_password,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """``pattern`` has one group, the secret. It counts if ``accepts`` it; ``command`` must occur before it."""

    pattern: str
    accepts: Callable[[str], bool] = is_any
    shortest: int = 1
    longest: int = 4000
    command: str = ""


def _token(
    prefix: str, chars: str, shortest: int, longest: int = 600, accepts: Callable[[str], bool] = is_any
) -> Shape:
    return Shape(rf"{prefix}([{chars}]+)", accepts, shortest, longest)


MAX_MATCHES_PER_LINE: Final = 500
"""No line of code has as many places where a secret may be."""

_ALNUM, _WORD, _HEX, _UPPER, _BASE64 = r"A-Za-z0-9", r"\w-", r"a-fA-F0-9", r"A-Z0-9", r"A-Za-z0-9+/="

TOKENS: Final = (
    _token(r"\b(?:A[KS]IA|ABIA|ACCA)", _UPPER, 16, 16),  # AWS access key ids
    _token(r"\bABSK", _BASE64, 40),  # AWS Bedrock
    _token(r"\bgh[pousr]_", _ALNUM, 30),
    _token(r"\bgithub_pat_", r"\w", 22),
    _token(r"\bgl(?:pat|dt|ft|rt|ptt|cbt|soat|imt|agent|oas|ffct)-", r"\w.-", 20),
    _token(r"\bx(?:ox[abeoprs]|app)-", r"A-Za-z0-9-", 8),
    _token(r"\bsk-or-v1-", _HEX, 40),
    _token(r"\bsk-ant-", _WORD, 10),
    _token(r"\bsk-", _WORD, 20, 300, is_key_of_openai),  # OpenAI, Anthropic, OpenRouter
    _token(r"\b[rs]k_(?:live|test|prod)_", _ALNUM, 16),
    _token(r"\bwhsec_", _BASE64, 24),
    _token(r"\bAIza", _WORD, 30),
    _token(r"\bya29\.", r"\w.-", 20),
    _token(r"\bGOCSPX-", _WORD, 20),
    _token(r"\b1//0", _WORD, 30),
    _token(r"\bhf_", _ALNUM, 30, 60, is_mixed),
    _token(r"\bapi_org_", _ALNUM, 30, 60, is_mixed),
    _token(r"\bnpm_", _ALNUM, 36, 36),
    _token(r"\bpypi-AgE", _WORD, 50),
    _token(r"\bdckr_(?:pat|oat)_", _WORD, 20),
    _token(r"\bdo[opr]_v1_", _HEX, 64, 64),
    _token(r"\bdapi", r"a-f0-9", 32, 33),
    _token(r"\bshp(?:at|ss|ca|pa|tka)_", _HEX, 32),
    _token(r"\bsq0(?:csp|atp|idp)-", _WORD, 22),
    _token(r"\bSG\.", r"\w.-", 60, 80),
    _token(r"\bkey-", r"a-f0-9", 32, 32),
    Shape(r"\b([0-9a-f]{32}-us[0-9]+)\b"),
    _token(r"\bSK", r"a-f0-9", 32, 32),
    _token(r"\bPMAK-", r"a-f0-9-", 40),
    _token(r"\bNR(?:AK|JS|II|RA)-", r"A-Za-z0-9-", 18),
    Shape(r"\b([A-Za-z0-9]{14}\.atlasv1\.[\w-]+)", is_any, 40),
    Shape(r"([\w~.-]{3}[0-9]Q~[\w~.-]+)", is_any, 30, 60),  # Microsoft Entra
    _token(r"\bLTAI", _ALNUM, 12, 30, is_mixed),
    _token(r"\bAKID", _ALNUM, 28, 40, is_mixed),
    _token(r"\bCFPAT-", _WORD, 40),
    _token(r"\bdt0[a-z][0-9]{2}\.", r"A-Z0-9.", 60),
    _token(r"\bAGE-SECRET-KEY-1", _UPPER, 50),
    Shape(r"\b(hv[sbr]\.[\w-]{10,})", is_mixed),
    _token(r"\bs\.", _ALNUM, 24, 24, is_generated),
    _token(r"\bpul-", r"a-f0-9", 40, 40),
    _token(r"\bdp\.(?:ct|pt|st|sa|scim|audit)\.", r"\w.-", 30),
    _token(r"\bsbp_", r"a-z0-9_", 36),
    _token(r"\bsb_secret_", _WORD, 20),
    _token(r"\bxkeysib-", r"a-zA-Z0-9-", 60),
    _token(r"\bpscale_(?:tkn|pw|oauth)_", r"\w.=-", 30),
    _token(r"\brubygems_", _HEX, 40),
    _token(r"\b(?:rdme|lin_oauth|hubspot)_", r"a-z0-9", 30),
    _token(r"\bsq[apu]_", _HEX, 40, 40),
    _token(r"\bAT(?:ATT3|CTT3|BB)", r"\w=-", 20, 600, is_mixed),
    _token(r"\bsntry[su]_", r"\w+/=-", 40),
    _token(r"\bgl(?:sa|c)_", r"\w+/=", 32),
    _token(r"\bfigd_", _WORD, 36),
    _token(r"\bnvapi-", _WORD, 50),
    _token(r"\btskey-[a-z]+-", r"A-Za-z0-9-", 20),
    _token(r"\bFLWSECK(?:_TEST)?-", _ALNUM, 12),
    _token(r"\bEAA[A-Z]", _ALNUM, 60, 400, is_generated),
    _token(r"\bEZ[AT]K", _ALNUM, 54, 54),
    _token(r"\bops_eyJ", r"\w=-", 100, 2000),
    _token(r"\b(?:fo1|fm[12]r?)_", r"\w+/=,-", 40, 2000),
    _token(r"\bHRKU-", _WORD, 36),
    _token(r"\bCCIPAT_", r"\w", 40),
    _token(r"\bsha256~", _WORD, 43, 43),  # OpenShift
    _token(r"\boy2", r"a-z0-9", 43, 43),  # NuGet
    _token(r"\bcio", _ALNUM, 32, 32, is_generated),  # crates.io
    _token(r"\bpat[A-Za-z0-9]{14}\.", _HEX, 64, 64),  # Airtable
    _token(r"\b(?:sdk|api|mob)-[0-9a-f]{8}-", r"0-9a-f-", 27, 27),  # LaunchDarkly
    _token(r"\bsecret_", _ALNUM, 43, 43, is_mixed),
    _token(r"\baccess_token\$production\$", r"a-z0-9$", 40),
    _token(r"\bt1\.[A-Z0-9a-z_-]+\.", _WORD, 60),
    _token(r"\bamzn\.mws\.", r"0-9a-f-", 36),
    _token(r"\brzp_(?:live|test)_", _ALNUM, 14),
    _token(r"\boauth:", r"a-z0-9", 30, 30, is_mixed),  # Twitch
    _token(r":APA91b", _WORD, 100),
    Shape(r"[0-9]{8,10}:(AA[\w-]{30,})"),  # Telegram
    Shape(r"\b([MNO][\w-]{23}[\w-]?[\w-]?[\w-]?\.[\w-]{6}\.[\w-]{27,})", is_mixed),  # Discord
    Shape(r"\beyJ([\w-]+\.eyJ[\w-]+\.[\w-]+)", is_any, 40, 8000),  # signed JSON web tokens
    Shape(r"LS0tLS1CRUdJTiB[QSFPE]([A-Za-z0-9+/=]+)", lambda text: not text.startswith("VUJMSUM"), 32, 12_000),
    Shape(r'"(?:d|p|q|dp|dq|qi|k)"[ \t]*:[ \t]*"([\w-]{40,})"', is_mixed),  # the private members of a JSON web key
    _token(r"\br8_", _ALNUM, 30, 60, is_mixed),
    Shape(r"[a-z][_-]([A-Za-z0-9]{28,})\b", is_generated_of_all_classes, 28, 300),  # prefixes that are not listed here
)
"""The text before the secret says what it is."""

CONTEXTS: Final = (
    Shape(r"(?i)\bbearer[ \t]+([\w.~+/=-]+)", is_random, 12),
    Shape(r"(?i)authorization[\"']?[ \t]*[:=,][ \t]*[\"']?(?:bearer|token|basic)[ \t]+([\w.~+/=-]+)", is_password, 6),
    Shape(r"(?i)\b(?:basic|ssws|apikey|negotiate|token)[ \t]+([\w.~+/=-]+)", is_generated, 16),
    Shape(r"://[^\s:/@\"'<>{}]*:([^\s/\"'<>`]+)@[\w\[]", lambda text: not is_placeholder(text), 3, 200),
    Shape(r"[\w.-]+:([^\s/@\"':]+)@(?:tcp|unix)\(", lambda text: not is_placeholder(text), 3, 200),
    Shape(
        r"[ \t](?:-[uU] ?|-a |(?:--user|--auth|--proxy-user)[ =])[\"']?[\w.@\\-]+[:%]([^\s\"']+)",
        lambda text: not is_placeholder(text),
        3,  # shorter masks could not be told from code
        200,
        r"(?i)\b(?:curl|https?|xh|wget|smbclient|rpcclient|ab|siege)(?:\.exe)?[ \t]",
    ),
    Shape(
        r"[ \t]-p[\"']?([^\s\"'-][^\s\"']*)",
        is_password,
        3,
        200,
        r"\b(?:mysql\w*|mariadb[\w-]*|7z|7za|sqlcmd)[ \t]",
    ),
    Shape(
        r"[ \t]-[paPwW][ \t]+[\"']?([^\s\"'-][^\s\"']*)",
        is_password,
        3,
        200,
        r"\b(?:sshpass|(?:docker|podman|az|buildah|helm registry|oc) login|mongo\w*|redis-cli|ldap\w+|zip|unzip)[ \t]",
    ),
    Shape(r"\bpass:([^\s\"']+)", is_password, 3, 200, r"-pass(?:in|out)?[ \t]"),
    Shape(r"(?i)hooks\.slack\.com/(?:services|workflows|triggers)/([A-Z0-9]+/[\w/-]+)", is_any, 20),
    Shape(r"(?i)discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]+/([\w-]+)", is_any, 20),
    Shape(r"(?i)hooks\.zapier\.com/hooks/(?:catch|standard)/([0-9]+/\w+)"),
    Shape(r"(?i)office\.com/webhook(?:b2)?/([^\s\"']+/[^\s\"'/]+/\w+)", is_any, 40),
    Shape(r"(?i)/bot/v2/hook/([\w-]+)", is_any, 20),
    Shape(r"(?i)ifttt\.com/trigger/\w+/(?:json/)?with/key/([\w-]+)", is_any, 10),
    Shape(r"(?i)[?&](?:sig|signature|x-amz-signature|key|auth|code)=([\w%+/=.~-]+)", is_generated, 20),
    Shape(r"(?i)auth\w*[ =:]*[\[(]+[\"'][^\"'\s]+[\"'],[ \t]*[\"']([^\"'\s]+)[\"']", is_random, 6),
    Shape(r"(?i)convertto-securestring[ \t]+(?:-string[ \t]+)?[\"']([^\"']+)[\"']", is_password, 4),
    Shape(r"IDENTIFIED (?:WITH [\w']+ )?BY (?:PASSWORD )?[\"']([^\"'\n]+)", is_password, 4),
    Shape(r"identified by [\"']([^\"'\n]+)", is_random, 4),
    Shape(r"(?i)cookie[\"']?[ \t]*[:=,][ \t]*[\"']?[\w.-]+=([^\s;\"']+)", is_generated, 16),
    Shape(r"(?i)(?:account|sharedaccess)key=([A-Za-z0-9+/=]+)", is_any, 30),
    Shape(r":_(?:authToken|auth|password)[ \t]*=[ \t]*[\"']?([^\s\"']+)", is_password, 4),
    Shape(r"\bpassword[ \t]+([^\s\"']+)", is_password, 4, 200, r"\bmachine[ \t]"),
    Shape(r"(?i)\"auth\"[ \t]*:[ \t]*\"([A-Za-z0-9+/=]+)\"", is_random_or_password, 12),
)
"""Where commands, URLs, headers and files of known formats hold secrets."""

NAMES: Final = (
    r"(?i:passw|passphrase|contrase.a|kennwort|wachtwoord|\bsenha|\bpw\b|pwd|secret|token|credential|mnemonic|seed_?phrase|recovery_?phrase|connection_?string|bearer"
    r"|(?:api|access|account|private|auth|encrypt|encryption|signing|master|shared|service|storage|license|webhook|hmac"
    r"|jwt|session|cookie|consumer|client|deploy|app|subscription|crypto|cipher|aes)[_.-]?key|session_?id|\bpsk\b)[\w-]*"
    r"|\b[A-Z0-9]+_(?:KEY|PASS|PW|AUTH|SALT|DSN)\b|(?:\b|_)(?:pass|salt|auth|PASS)\b|[a-z](?:Pass|Key)\b"
)
"""Names of values that are often secrets, up to the end of the name."""

_NAMED: Final = rf"(?:{NAMES})[\"'`\])*]*[ \t]*(?:[:=,>(|?]|[ \t](?:is[ \t]|or[ \t]|value)|[ \t][\"'\w])"


def _compile(pattern: str, has_groups: bool = True) -> Any:
    """A pattern over bytes; raises ``re2.error`` if RE2 does not support it."""
    options = re2.Options()
    # The automaton grows with the variety of the texts, and starts again when it is full: all patterns together took
    # 23 MB after 24 million characters of many languages. With 16 MB for each they were full, and half as fast.
    options.max_mem = 32 << 20
    options.never_capture = not has_groups  # spans of a hundred groups take 30 µs
    return re2.compile(pattern.encode(), options)


def _join(shapes: tuple[Shape, ...]) -> Any:
    return _compile("|".join(f"(?:{shape.pattern})" for shape in shapes))


ALL_TOKENS: Final = _join(TOKENS)
ALL_CONTEXTS: Final = _join(CONTEXTS)
NAMED: Final = _compile(f"({_NAMED})")
COMMANDS: Final = {shape.command: _compile(shape.command) for shape in CONTEXTS if shape.command}
ANY: Final = _compile("|".join((*(f"(?:{shape.pattern})" for shape in (*TOKENS, *CONTEXTS)), _NAMED)), has_groups=False)
"""Whether a line is worth looking at: one search for a whole text."""
