"""Find secrets in text: by their format, by the name that has them as its value, or by their randomness.

Formats are those of the library detect-secrets (its plugins alone: nothing is verified over a network), and
of GitHub's "Supported secret scanning patterns" where it knows none or fewer.

Source: OWASP Secrets Management Cheat Sheet; GitHub "Supported secret scanning patterns"; detect-secrets 1.5
(entropy limits); kube-linter env-var-secret and Polaris sensitiveContainerEnvVar (names).
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote

from bais_gates.extras import optional

_PLUGINS: Final = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "square_oauth": "SquareOAuthDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
"""detect-secrets' detectors of formats. Its detectors of names and of URLs need quotes or lack characters."""
_FORMATS: Final = {
    "Private Key": r"-{3,} ?BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File-\d|AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    "URL with a password": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:(?![$<{*]|%\()[^\s/@]+@",
    "GitHub Token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}",
    "Slack Token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}",
    "Webhook URL": r"hooks\.slack\.com/services/\w+/\w+/\w+|discord(app)?\.com/api/webhooks/\d+/\S{20,}"
    r"|webhook\.office\.com/webhookb2/\S{20,}|events\.pagerduty\.com/integration/[0-9a-f]{32}",
    "Stripe Access Key": r"\b[rs]k_(live|test)_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/]{20,}",
    "Google API Key": r"\bAIza[A-Za-z0-9_-]{35}|\bGOCSPX-[A-Za-z0-9_-]{20,}|\bya29\.[A-Za-z0-9_-]{20,}",
    "AI Provider Key": r"\bsk-(proj|ant|or)-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z]{30,}",
    "Vault Token": r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}",
    "Cloud Provider Token": r"\bdo[opr]_v1_[a-f0-9]{64}\b|\bdp\.[a-z]{2,5}\.[A-Za-z0-9]{40,}"
    r"|\bLTAI[A-Za-z0-9]{16,30}\b",
    "Azure Key": r"\b(SharedAccessKey|AccountKey|sig)=[A-Za-z0-9%+/]{40,}={0,2}|\b\w{3}[78]Q~[\w.~-]{31,34}",
    "Package Registry Token": r"\bnpm_[A-Za-z0-9]{36}|\brubygems_[a-f0-9]{48}|\bdckr_pat_[\w-]{20,}",
    "Service Token": r"\bkey-[0-9a-f]{32}\b|\bxkeysib-[a-f0-9]{64}-\w{16}|\bshp(at|ca|pa|ss)_[a-fA-F0-9]{32}"
    r"|\bglsa_\w{32}_[A-Fa-f0-9]{8}|\bNRAK-[A-Z0-9]{27}|\bPMAK-[a-f0-9]{24}-\w{34}|\blin_api_\w{40}",
    "HTTP Credentials": r"\b(?i:basic|bearer) +(?=[A-Za-z+/_.=-]*\d|[a-z+/_.=-]*[A-Z])"
    r"[A-Za-z0-9+/_.-]{12,}={0,2}",
    "Password Hash": r"SCRAM-SHA-256\$\d+:|\$(2[aby]|apr1|argon2(id|i|d)|[156y])\$\S{10,}"
    r"|\{S?SHA\}[\w+/]{20,}|\bmd5[0-9a-f]{32}\b",
    "Redis Password": r"(?m)^\s*(requirepass|masterauth)\s+[\"']?[^\s\"'$]"
    r"|\buser\s+\S+\s[^\n]*\s>(?![$<{])\S",
    "Password File": r"\blogin\s+\S+\s+password\s+[^\s$]|(?m:^[^:\s]+:(\d+|\*):[^:\s]+:[^:\s]+:[^:\s$]+$)"
    r"|(?m:^\"[^\"\s]+\" \"[^\"\s$]{6,}\"$)",
    "Password in SQL": r"(?i)\b(password|identified\s+by)\s+'(?![$:])[^'\s]",
    "Password in a command": r"\b(redis|valkey)-cli\b[^|;\n]*?\s(-a|--pass)\s+(?![\"']?\$)\S"
    r"|\bsshpass\s+-p\s*(?![\"']?\$)\S|\bmysql(dump|admin)?\b[^|;\n]*?\s-p(?![\"']?\$)\w"
    r"|\bcurl\b[^|;\n]*?\s(-u|--user)\s+[\"']?[^\s:$]+:(?!\$)[^\s\"']",
}
_SECRET_NAME: Final = re.compile(
    r"(api|access|account|auth|private|service|master|batch|shared|encryption|signing|hmac|session|client|jwt|secret|db)_?-?keys?"
    r"|secret|passw(or)?d?|passphrase|pwd|credentials?|authorization|requirepass|masterauth|connection_?-?string|key_?-?content"
    r"|(?<![A-Za-z])(tokens?|pass|pw|dsn|bearer|jwt|pepper)(?![A-Za-z])"
    r"|(?-i:(?<=[a-z])(Token|Pass|Pw)(?![a-z]))",
    re.IGNORECASE,
)
_AT_END: Final = re.compile(
    r"[_.-]?(\d+|v\d+|prod(uction)?|stag(e|ing)|dev|test|old|new|current|previous|value|text|plain|raw|b64|base64)?$",
    re.IGNORECASE,
)
_PASSWORD: Final = re.compile(r"passw|passphrase|pwd|(?<![A-Za-z])(pass|pw)(?![A-Za-z])", re.IGNORECASE)
_ABOUT_SECRETS: Final = re.compile(
    r"(file|path|dir|directory|mount|name|ref|reference|ttl|length|len|min|max|expir(y|es|ation|e)|timeout|policy|encryption"
    r"|encoding|hash(er|ing)?|algorithm|type|method|mode|enabled?|required|disabled?|endpoint|issuer|audience|host|ids?"
    r"|format|prefix|suffix|header|field|count|rounds?|iterations|rotation|source|provider|scope|store|manager|version"
    r"|lifetime|seconds|minutes|hours|days|interval|limit|namespace|env|claim|uri|url|realm|strength|history|retries"
    r"|attempts|age|size|class|kind|usage|prompt|bucket|backend|driver|helper|engine|hint|label|email|query|page|reset)s?$",
    re.IGNORECASE,
)
"""Ends of names that are about secrets, and are none."""
_CHECKSUM: Final = re.compile(r"checksum|digest|fingerprint", re.IGNORECASE)
_KEY_NAME: Final = re.compile(r"(^|[_.-]|[a-z])(key|salt|seed|cookie|hmac)$", re.IGNORECASE)
_PLAIN_VALUE: Final = re.compile(
    r"|true|false|yes|no|on|off|none|null|nil|\d+(\.\d+)?\s?(ms|s|m|h|d|[KMG]i?B?)?", re.IGNORECASE
)
_SWITCH: Final = re.compile(
    r"true|false|yes|no|on|off|none|null|nil|(en|dis)abled|required|optional", re.IGNORECASE
)
_PROSE: Final = re.compile(r"[^\W\d]\S*( [^\W\d]\S*)*( [^\W\d]+[.?!:])")
"""A sentence without a number: a text about passwords."""
_REFERENCE: Final = re.compile(
    r"\$.*|<[^<>]*>|\{\{.*|%\(.*|%[A-Z_]+%|\*+|\.\.\.|@\S+|\.{0,2}/[\w./-]+|(file|vault|env|ref\+\w+|arn|sm|https?):\S+"
    r"|ENC\[.*|\[?(redacted|hidden|masked)\]?|\\[A-Za-z].*|\[\^.*|\.[*+].*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+|\w[\w.]*[(\[].*|!.*|=.*",
    re.IGNORECASE | re.DOTALL,
)
"""A reference to a variable, file, attribute or store, a call, or what somebody made unreadable."""
_ASSIGNMENT: Final = re.compile(
    r"(?:(?P<name>[A-Za-z_][A-Za-z0-9_.-]{1,80})[\"']?[ \t]*(?:=>|:=|=|(?<![ \t]):(?!//)|:(?=[ \t]))[ \t]*"
    r"|(?<![\w-])--?(?P<option>[A-Za-z][\w.-]+)[ \t]+(?!-))"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;&|)}\]]+)"
)
_PAIRS: Final = (
    re.compile(r"<(?P<name>[A-Za-z_][\w.-]{1,80})>(?P<value>[^<>\n]+)</"),
    re.compile(
        r"\bname[\"']?[ \t]*[:=][ \t]*[\"']?(?P<name>[A-Za-z_][\w.-]{1,80})[\"']?[ \t]*,?\s*"
        r"[\"']?value[\"']?[ \t]*[:=][ \t]*(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',]+)"
    ),
)
"""An element of XML, and a name with its value beside it."""
_SENTENCE: Final = re.compile(r"[a-z]+ +[a-z]+ +[a-z]+")
_PUBLIC: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*(?:CERTIFICATE|PUBLIC KEY|CRL|REQUEST|PARAMETERS)-----.*?-----END[^-]*-----"
    r"|\b(?:sha\d{1,3}|md5)[:=-][A-Za-z0-9+/=]+|\b(?:ssh|ecdsa)-\S+ \S+|\bage1[a-z0-9]{40,}",
    re.DOTALL | re.IGNORECASE,
)
"""Random text that is public: certificates, public keys, digests."""
_WORD: Final = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{16,}={0,2}(?![A-Za-z0-9+/_=-])")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAMES_SECRET: Final = re.compile(r"(^|[a-z_.-])[sS]ecrets?$|secret-")
_OBJECT_NAME: Final = re.compile(r"([a-z0-9.-]+/)*[a-z][a-z0-9.-]*")
ENTROPY: Final = 4.3
"""Bits a character above which 24 and more letters and digits are random. detect-secrets takes 4.5, which few
random values of 24 characters reach; it asks for quotes, and we for letters of both cases and digits."""
KEY_ENTROPY: Final = 3.0
"""Bits a character above which the value of a name such as ``X_KEY`` is random; detect-secrets' for hex."""
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://(?P<user>[^\s/:@]*):(?P<password>[^\s/@]*)@")
_DEFAULT: Final = re.compile(
    r"pass(wd|word|w0rd)?|p@ss(w0rd|word)|secret|change[-_]?(me|it)|admin(istrator)?|root|toor|test(ing)?|guest"
    r"|default|user|letmein|welcome|qwerty|abc|master|monkey|dragon|sunshine|iloveyou|trustno|foo(bar(ed)?)?|bar"
    r"|postgres(ql)?|redis|valkey|mysecretpassword|(super|top|your)-?secret|dummy|example|sample|demo|temp|todo"
    r"|none|null|token|(api|secret|your)-?key|hunter|hunter2|(?P<one>.)(?P=one)*|0?123456789?0?|012345|1234567?8?|654321|1q2w3e4r"
)
"""Passwords of examples, of vendors, and the most common ones; compared without trailing digits and signs."""


def looks_secret(name: str, value: str, *, free: bool = True) -> str | None:
    """Return the kind of secret that a value is or contains, with the value's name; None for none.

    ``PASSWORD_FILE=/run/x`` is a file name, ``RATE_LIMIT_PER_TOKEN=100`` a number, and ``$(NAME)`` a
    reference to another variable: these are not secrets. A random value counts if it is in ``free`` text.
    """
    public = _PUBLIC.sub(" ", value)
    if (kind := known_format(public)) is not None:
        return kind
    for part in decoded(public):
        if (kind := known_format(part) or assigned(part)) is not None:
            return f"{kind}, in base64"
    if "\n" not in value.strip() and _is_named(name, value.strip(), free=free):
        return f"value of {name}"
    return assigned(public) or (_random(public) if free else None)


def weakness(name: str, value: str, users: frozenset[str] = frozenset()) -> str | None:
    """Return why a secret is weak: it is empty, the name of one of its users, or a default; None if not.

    Of a URL, its password is judged. A name that is about no secret has no weakness. Source: PCI DSS 2.2.2
    and 8.3.5; NIST SP 800-63B 5.1.1.2 (commonly used and context-specific words).
    """
    if (match := _URL.search(value)) is not None:
        users, word = frozenset({unquote(match["user"])}), unquote(match["password"])
    elif is_secret_name(name):
        word = value.strip()
    else:
        return None
    if not word:
        return "is empty"
    if word.casefold() in {user.casefold() for user in users}:
        return "is the name of its user"
    plain = re.sub(r"[\W\d_]+$", "", word.casefold())
    return "is a well-known default" if any(map(_DEFAULT.fullmatch, (word.casefold(), plain))) else None


def is_secret_name(name: str) -> bool:
    """Return whether a name is one of secrets, such as ``DB_PASSWORD`` or ``api-key``."""
    return _SECRET_NAME.search(name) is not None and _ABOUT_SECRETS.search(name) is None


@functools.cache
def _detectors() -> list[tuple[str, Callable[[str], Iterator[str]]]]:
    detectors = [getattr(_plugin(name), detector)() for name, detector in _PLUGINS.items()]
    return [(str(one.secret_type), one.analyze_string) for one in detectors]


def _plugin(name: str) -> Any:
    return optional(f"detect_secrets.plugins.{name}", extra="cluster")


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(kind, re.compile(pattern)) for kind, pattern in _FORMATS.items()]


def known_format(text: str) -> str | None:
    """Return the kind of secret whose format a text contains; None for none."""
    if (found := next((kind for kind, one in _patterns() if one.search(text)), None)) is not None:
        return found
    return next((kind for kind, analyze in _detectors() if any(analyze(text))), None)


def _is_named(name: str, value: str, *, free: bool) -> bool:
    """Return whether a value is a secret by its name, unless it is a reference, a number or a word."""
    full, name, value = name, name.rpartition("/")[2], value.strip("\"'")
    if not value or any(one.fullmatch(value) for one in (_REFERENCE, _SWITCH, _PROSE)):
        return False
    if _ABOUT_SECRETS.search(name) or _CHECKSUM.search(full):
        return False
    if free and _KEY_NAME.search(name) and _looks_random(value) and _entropy(value) >= KEY_ENTROPY:
        return True
    if name in {"auth", "_auth"}:  # of a registry
        return any(":" in part for part in decoded(value))
    if not free and _NAMES_SECRET.search(name) and _OBJECT_NAME.fullmatch(value):
        return False  # outside of settings, the name of a Secret
    return _PASSWORD.search(name) is not None or _is_of_secret_name(name, value)


def _is_of_secret_name(name: str, value: str) -> bool:
    ends = [match.end() for match in _SECRET_NAME.finditer(name)]
    if not ends or _PLAIN_VALUE.fullmatch(value):
        return False
    return _AT_END.fullmatch(name[ends[-1] :]) is not None or _looks_random(value)


def _looks_random(value: str) -> bool:
    letters_and_digits = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return (
        len(value) >= 12
        and bool(letters_and_digits and re.fullmatch(r"[\w+/=-]+", value))
        and not _UUID.fullmatch(value)
    )


def assigned(text: str) -> str | None:
    """Return what a text assigns a secret to (``X=...``, ``X: ...``, ``--x ...``); None if to nothing."""
    pairs = [(match["name"], match["value"]) for one in _PAIRS for match in one.finditer(text)]
    pairs += [
        (match["name"] or match["option"], match["value"])
        for match in _ASSIGNMENT.finditer(text)
        if not _is_sentence(text, match)
    ]
    for name, quoted in pairs:
        value = quoted.strip("\"'")
        sure = len(value) >= 8 if _PASSWORD.search(name) is None else len(value) >= 3
        if sure and _is_named(name, value, free=False):
            return f"value of {name}"
    return None


def _is_sentence(text: str, match: re.Match[str]) -> bool:
    """Return whether a sentence goes on behind a colon: ``the password: see the runbook``."""
    if match["name"] is None or ":" not in text[match.end("name") : match.start("value")]:
        return False
    return _SENTENCE.match(text, match.start("value")) is not None


def decoded(text: str) -> list[str]:
    """Return the texts that are in base64 in a text."""
    found = []
    for word in _BASE64.findall(text):
        plain = word.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            decoded = base64.b64decode(plain + "=" * (-len(plain) % 4)).decode()
        except ValueError:
            continue
        if all(letter.isprintable() or letter.isspace() for letter in decoded):
            found.append(decoded)
    return found


def _random(text: str) -> str | None:
    """Return that a text has a long random word; None if it has none."""
    for word in _WORD.findall(text):
        longest = max(re.split(r"[/_=-]", word), key=len)
        mixed = all(re.search(letters, longest) for letters in ("[a-z]", "[A-Z]", "[0-9]"))
        if len(longest) >= 12 and mixed and _entropy(word) >= ENTROPY:
            return "Random Value"
    return None


def _entropy(text: str) -> float:
    """Return the Shannon entropy of a text in bits a character."""
    return float(_plugin("high_entropy_strings").Base64HighEntropyString().calculate_shannon_entropy(text))
