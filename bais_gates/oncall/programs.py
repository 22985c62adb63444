"""The programs that a runbook may call, with their verbs and flags; a command is read by that table.

Source: the programs' own help (kubectl 1.27, PostgreSQL 15, Redis 7, curl 7.88, Helm 3, OpenSSL 3, age 1.1).
Left out are flags that switch a check off (``curl -k``), and verbs that destroy what no backup holds
(``flushall``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

VARIABLES: Final = {
    "ALERTMANAGER_URL": "address of Alertmanager, as in https://alertmanager.bais.example",
    "API_URL": "address of the API, as in https://api.bais.example",
    "API_TOKEN": "access token of an administrator of the API",
    "DATABASE_URL": "connection of the database as its owner; it holds the password",
    "NODE": "the node that the alert or the step before names",
    "POD": "the pod that the alert or the step before names",
    "PROMETHEUS_URL": "address of Prometheus, as in https://prometheus.bais.example",
    "REDIS_URL": "connection of the cache; it holds the password",
}
"""What the commands of runbooks may take from the shell, and what it is."""

OWN: Final = "bais-gates"
"""Our own command, whose words its parser judges."""

_FILTERS: Final = {
    "awk": "-F= -v=",
    "base64": "-d --decode",
    "column": "-t -s=",
    "cut": "-d= -f= -c=",
    "grep": "-E -F -i -v -c -o -w -n -q -h -m= -e= -A= -B= -C=",
    "head": "-n= -c= -#",
    "jq": "-r -R -c -e -s -n -S --arg= --raw-output",
    "sed": "-n -E -e=",
    "sort": "-n -r -u -h -k= -t=",
    "tail": "-n= -c= -#",
    "tr": "-d -s",
    "uniq": "-c -d",
    "wc": "-l -c -w",
}
"""What may stand behind a pipe."""
_KUBECTL: Final = "-n= --namespace= --context= --request-timeout="
_SHOW: Final = "-l= --selector= -A --all-namespaces --field-selector= "
_GET: Final = _SHOW + "-o= --output= --sort-by= -w --watch --show-labels --no-headers --ignore-not-found -L="
_KUBECTL_VERBS: Final = {
    "annotate": "-l= --overwrite",
    "apply": "-f= --filename= --server-side --dry-run=",
    "auth can-i": "--as= --list -q",
    "config current-context": "",
    "cordon": "-l=",
    "create job": "--from=",
    "delete": "-l= --selector= --grace-period= --wait= --now --ignore-not-found --field-selector=",
    "diff": "-f= --filename= --server-side",
    "describe": _SHOW + "--show-events=",
    "drain": "--ignore-daemonsets --delete-emptydir-data --grace-period= --timeout= --pod-selector=",
    "events": "--for= --types= -A -w --watch",
    "exec": "-c= --container= -i -t --stdin --tty -q",
    "get": _GET,
    "label": "-l= --overwrite",
    "logs": "-c= --container= -l= --selector= -f --follow -p --previous --since= --tail= --timestamps "
    "--all-containers --prefix --max-log-requests= --limit-bytes=",
    "patch": "-p= --patch= --type=",
    "port-forward": "--address=",
    "rollout history": "--revision=",
    "rollout pause": "",
    "rollout restart": "",
    "rollout resume": "",
    "rollout status": "--timeout= -w --watch= --revision=",
    "rollout undo": "--to-revision=",
    "scale": "--replicas= --current-replicas= --timeout=",
    "set env": "-c= --list",
    "set image": "",
    "set resources": "-c= --limits= --requests=",
    "taint": "--overwrite",
    "top node": "-l= --sort-by=",
    "top nodes": "-l= --sort-by=",
    "top pod": "-l= --sort-by= --containers -A",
    "top pods": "-l= --sort-by= --containers -A",
    "uncordon": "-l=",
    "wait": "--for= --timeout= -l= --selector= --all",
}
_HELM_VERBS: Final = {
    "get manifest": "--revision=",
    "get values": "--revision= -a --all -o=",
    "history": "--max= -o=",
    "list": "-A --all-namespaces -a --all --failed --pending -o=",
    "rollback": "--wait --timeout= --dry-run --cleanup-on-fail",
    "status": "--revision= -o= --show-resources",
}
_CONNECTION: Final = "-h= -p= -U= -d= --host= --port= --username= --dbname= -w --no-password "
_REDIS: Final = (
    "-h= -p= -u= -n= --tls --cacert= --user= --askpass --no-auth-warning -r= -i= --raw --csv --latency "
    "--latency-history --stat --bigkeys --memkeys --scan --pattern= --count="
)
_REDIS_VERBS: Final = (
    "acl users", "acl whoami", "bgsave", "client info", "client kill", "client list", "client no-evict",
    "config get", "config set",
    "dbsize", "exists", "get", "info", "lastsave", "latency doctor", "latency history", "latency latest",
    "llen", "memory doctor", "memory stats", "memory usage", "object freq", "ping", "role", "slowlog get",
    "slowlog len", "slowlog reset", "ttl", "type", "zcard", "unlink",
)  # fmt: skip
_CURL: Final = (
    "-s -S -f -i -I -v -G -L --silent --show-error --fail --fail-with-body --include --head --get --location "
    "-X= --request= -H= --header= -d= --data= --data-urlencode= --json= -o= --output= -w= --write-out= -m= "
    "--max-time= --connect-timeout= --retry= --cacert= --resolve= -u= --user= --compressed"
)
PROGRAMS: Final[Mapping[str, Mapping[str, str]]] = {
    "age": {"": "-d --decrypt -i= --identity= -o= --output="},
    "curl": {"": _CURL},
    "helm": {verb: f"-n= --namespace= {flags}" for verb, flags in _HELM_VERBS.items()},
    "kubectl": {verb: f"{_KUBECTL} {flags}" for verb, flags in _KUBECTL_VERBS.items()},
    "openssl": {
        "s_client": "-connect= -servername= -showcerts -brief -CAfile= -verify_return_error "
        "-verify_hostname= -starttls= -tls1_2 -tls1_3 -status",
        "verify": "-CAfile= -untrusted= -verify_hostname=",
        "x509": "-in= -noout -dates -enddate -startdate -subject -issuer -serial -ext= -text -checkend= "
        "-fingerprint -sha256 -checkhost=",
    },
    "pg_restore": {
        "": _CONNECTION + "-l --list -L= -c --clean --if-exists -C --create -e --exit-on-error -j= --jobs= "
        "-n= -t= -O --no-owner -x --no-privileges -a -s --single-transaction -1 -v --verbose -f="
    },
    "psql": {
        "": _CONNECTION
        + "-c= --command= -f= --file= -X --no-psqlrc -x --expanded -A -t -q -1 -P= -v= --set= "
        "-F= --csv -l --list"
    },
    "redis-cli": {"": _REDIS, **dict.fromkeys(_REDIS_VERBS, _REDIS)},
    **{name: {"": flags} for name, flags in _FILTERS.items()},
}
"""Program, verbs ("" for none) and flags: ``-o=`` takes a value, ``-#`` is a number as in ``-20``."""

_ARGUMENTS_AFTER_VERB: Final = frozenset({"redis-cli"})
"""Programs that read no flag behind their first argument."""


class UnknownUseError(Exception):
    """A command that the table does not allow; the message names the word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command, read by the table."""

    program: str
    verb: str
    flags: tuple[tuple[str, str | None], ...]
    arguments: tuple[str, ...]
    """Without the verb."""
    rest: tuple[str, ...] = ()
    """The words behind ``--``."""

    def values(self, *names: str) -> list[str]:
        """Return the values of flags, in the order of the command."""
        return [value for name, value in self.flags if name in names and value is not None]


def read(words: Sequence[str], *, behind_pipe: bool = False) -> Call:
    """Read a command; raise UnknownUseError for a program, verb or flag that the table does not have."""
    name = words[0]
    if name not in PROGRAMS and name != OWN:
        allowed = ", ".join([*(one for one in PROGRAMS if one not in _FILTERS), OWN])
        raise UnknownUseError(f"{_short(name)} is not a program of runbooks; use one of {allowed}")
    if name in _FILTERS and not behind_pipe:
        raise UnknownUseError(f"{name} has nothing to read; write it behind a pipe")
    if name == OWN:
        return Call(program=name, verb="", flags=(), arguments=tuple(words[1:]))
    cut = words.index("--") if "--" in words else len(words)
    verb, flags, arguments = _by_verb(name, words[1:cut])
    if cut < len(words) and (name, verb) != ("kubectl", "exec"):
        raise UnknownUseError(f"-- is for kubectl exec alone, not for {name}")
    return Call(
        program=name,
        verb=verb,
        flags=tuple(flags),
        arguments=tuple(arguments[len(verb.split()) :]),
        rest=tuple(words[cut + 1 :]),
    )


def _by_verb(name: str, words: Sequence[str]) -> tuple[str, list[tuple[str, str | None]], list[str]]:
    """Return verb, flags and other words: flags may stand before the verb that says which there are."""
    verbs = PROGRAMS[name]
    refused: UnknownUseError | None = None
    for verb in sorted(verbs, key=lambda one: -len(one.split())):
        try:
            flags, arguments = _split(name, words, _flags(verbs[verb]))
        except UnknownUseError as error:
            if set(verb.split()) <= {one.lower() for one in words}:
                refused = refused or error
            continue
        given = [one.lower() if name == "redis-cli" else one for one in arguments]
        has_it = given[: len(verb.split())] == verb.split()
        if has_it and (verb or len(verbs) == 1 or not arguments):
            return verb, flags, arguments
    known = (
        ", ".join(verbs) if len(verbs) < 10 else "other verbs, see PROGRAMS in bais_gates/oncall/programs.py"
    )
    raise refused or UnknownUseError(f"{name} without a verb of the table of programs; it has {known}")


def _flags(text: str) -> dict[str, bool]:
    """Return the flags of a row of the table, and which of them take a value."""
    return {one.rstrip("="): one.endswith("=") for one in text.split()}


def _split(
    name: str, words: Sequence[str], known: Mapping[str, bool]
) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Return the flags with their values, and the other words."""
    flags: list[tuple[str, str | None]] = []
    arguments: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        behind = bool(arguments) and name in _ARGUMENTS_AFTER_VERB
        if behind or not word.startswith("-") or word == "-":
            arguments.append(word)
        elif re.fullmatch(r"-\d+", word) and "-#" in known:
            flags.append(("-#", word[1:]))
        else:
            flags += _flag(name, word, left, known)
    return flags, arguments


def _flag(name: str, word: str, left: list[str], known: Mapping[str, bool]) -> list[tuple[str, str | None]]:
    """Return the flag or the bundle of flags in a word, taking a value from the words behind it."""
    flag, equals, value = word.partition("=")
    if flag in known and equals:
        return [(flag, value)]
    if word in known:
        if not known[word]:
            return [(word, None)]
        if not left:
            raise UnknownUseError(f"{name} {word} needs a value")
        return [(word, left.pop(0))]
    if word.startswith("--"):
        raise UnknownUseError(f"{name} has no {_short(flag)} in the table of programs")
    found: list[tuple[str, str | None]] = []
    for number, letter in enumerate(word[1:], 1):
        one = f"-{letter}"
        if one not in known:
            raise UnknownUseError(f"{name} has no {_short(flag)} in the table of programs")
        if known[one]:
            behind = word[number + 1 :]
            if not behind and not left:
                raise UnknownUseError(f"{name} {one} needs a value")
            return [*found, (one, behind or left.pop(0))]
        found.append((one, None))
    return found


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."
