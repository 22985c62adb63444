"""The options of a run, their ini keys and variables: declared, and resolved to values."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from bais_gates.reports.voiding import void_all
from bais_gates.verdict.model import GOLIVE, SCOPES, Subject, parse_subject

CATALOG_DEFAULT = Path("gates", "catalog.yaml")
OUT_DEFAULT = "gate-report"
ENVIRONMENT_DEFAULT = "sandbox"

_NAMES = (
    "env",
    "scope",
    "out",
    "run-id",
    "subject",
    "catalog",
    "policy",
    "waivers",
    "load-duration",
    "sign-key",
)
_WITH_VALUE = frozenset((*(f"--gate-{name}" for name in _NAMES), "--gate-import", "--sandbox-fault"))
_CONFIGURATIONS = (
    *("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"),
    *("pyproject.toml", "tox.ini", "setup.cfg"),
)
_KEYS = frozenset({"phase", "severity", "scopes", "requirement", "remedy"})
"""The keys of a catalog's entry that few other files have."""
_KEY = re.compile(r"""(\w+)["']?\s*:(?=\s|$)""", re.MULTILINE)
_TEXT = re.compile(r"""(["']).*?\1""")
# A mark may be called, as in `gate(id="acceptance.health")`; the rest is as in pytest's own grammar.
_WORD = re.compile(r"(?!(?:and|or|not)\b)[\w:+\-.\[\]\\/]+\s*\([^()]*\)|[()]|[\w:+\-.\[\]\\/]+")
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)([smh])")
_LOAD_DURATION_MIN_S = 5.0
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")


_run_id_key: pytest.StashKey[str] = pytest.StashKey()
"""The id that was generated for this run, the same in the first BLOCK and in the decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of a run. Paths are absolute."""

    scopes: tuple[str, ...]
    """The scopes that a decision is asked for, as named; empty for a run without a decision."""
    environment: str
    out: Path
    run_id: str
    subject: Subject | None
    imports: tuple[Path, ...]
    catalog: Path
    policy: Path
    waivers: Path
    policy_named: bool
    """The policy file was named, so that it must be there; likewise the waivers."""
    waivers_named: bool
    faults: tuple[str, ...]
    load_duration_s: float | None
    """How long a load run is judged, where that was named; deadlines follow."""
    sign_key: Path | None
    """The private key to sign the decision with, where it was named."""
    problems: tuple[str, ...]
    """What is wrong with the options themselves, one paragraph each."""

    @property
    def deciding(self) -> bool:
        """Whether this run ends in a decision."""
        return bool(self.scopes)


def add_options(parser: pytest.Parser) -> None:
    """Declare the options and the ini keys of the same names."""
    group = parser.getgroup("bais-gates", "go-live gates: DEPLOY or BLOCK")
    for name, metavar, text in (
        ("env", "NAME|PATH", "environment file of the target (default: sandbox; also BAIS_GATES_ENV)"),
        ("scope", "SCOPE", f"decide about this scope: {', '.join(SCOPES)} (default: what -m names)"),
        ("out", "DIR", "folder of the decision and the reports (default: gate-report)"),
        ("run-id", "ID", "name of this run, for verify --run-id (also BAIS_GATES_RUN_ID)"),
        ("subject", "NAME@sha256:...", "the image that the decision is about"),
        ("catalog", "PATH", "the catalog of gates (default: gates/catalog.yaml)"),
        ("policy", "PATH", "the policy (default: policy.yaml beside the catalog)"),
        ("waivers", "PATH", "the waivers (default: waivers.yaml beside the catalog)"),
        ("sign-key", "PATH", "the private key that signs the decision (also as PEM in BAIS_GATES_SIGN_KEY)"),
        ("load-duration", "DURATION", "how long a load run is judged, as 90s or 10m (default: 20s)"),
    ):
        group.addoption(f"--gate-{name}", metavar=metavar, default=None, help=text)
        parser.addini(f"gate_{name.replace('-', '_')}", text, default=None)
    text = "a verified decision of an earlier scope whose results count here (repeatable)"
    group.addoption("--gate-import", metavar="DECISION", action="append", default=None, help=text)
    parser.addini("gate_import", text, type="linelist", default=[])
    text = "start the sandbox with this fault (repeatable)"
    group.addoption("--sandbox-fault", metavar="NAME", action="append", default=None, help=text)


def catalog_path(config: pytest.Config) -> Path | None:
    """Return the catalog's path, which need not exist when it was named; None when there is none."""
    named = _path(config, "gate_catalog")
    if named is not None:
        return named
    usual = _root(config) / CATALOG_DEFAULT
    asked = getattr(_options(config), "gate_scope", None) or misread_option(config)
    return usual if asked or _is_catalog(usual) else None


def _is_catalog(path: Path) -> bool:
    """Return whether a file is a catalog of gates, be it a damaged one, and not another project's catalog.

    No schema says what other catalogs look like: what counts is that keys of ours are in it, or nothing.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as stream:  # noqa: PTH123 - of a pipe, too
            text = stream.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except (OSError, UnicodeDecodeError):
        return True
    keys = set(_KEY.findall(text))
    return len(keys & _KEYS) >= 3 or (keys <= {"gates"} and (bool(keys) or not text.strip()))


def asked_scopes(options: object) -> tuple[str, ...]:
    """Return the scopes that are asked for, in SCOPES' order.

    ``--gate-scope`` names one; without it those count that the ``-m`` expression requires or allows, not
    those that it excludes.
    """
    scope = getattr(options, "gate_scope", None)
    if scope:
        return (str(scope),)
    names = set(_wanted(getattr(options, "markexpr", None) or ""))
    return tuple(scope for scope in SCOPES if scope in names)


def _wanted(expression: str) -> Iterator[str]:
    """Yield the marks that a ``-m`` expression names without negation."""
    negated, excluded = False, [False]  # by the next name or parenthesis, by each open parenthesis
    for word in _WORD.findall(_TEXT.sub("", expression)):
        if word == "not":
            negated = not negated
            continue
        if word == "(":
            excluded.append(excluded[-1] != negated)
        elif word == ")":
            excluded = excluded[:-1] or [False]
        elif word not in {"and", "or"} and excluded[-1] == negated:
            yield word.partition("(")[0].rstrip()
        negated = False


def finds_older_decision(config: pytest.Config) -> bool:
    """Return whether this run is asked to decide, and an older decision is where its own will be."""
    if not hasattr(config, "known_args_namespace"):  # registered by a program, before anything is parsed
        return False
    return bool(_scopes(config)) and any(os.path.lexists(out / "decision.json") for out in _outs(config))


def void_older(config: pytest.Config) -> None:
    """Take the older decision out of the report folder.

    Called as this plugin is loaded: other plugins, options and settings may still end the run.
    """
    scope = next((scope for scope in _scopes(config) if scope in SCOPES), GOLIVE)
    outs = map(str, _outs(config))
    void_all(outs, option="--gate-out", run_id=_run_id(config, []), scope=scope, command=("pytest",))


def resolve(config: pytest.Config, catalog: Path) -> Settings:
    """Return the settings of a run whose catalog is at ``catalog``; never raises for what a person wrote."""
    options = _options(config)
    scopes = _scopes(config)
    problems = [
        f"--gate-scope {scope}: no such scope. Use one of {', '.join(SCOPES)}."
        for scope in scopes
        if scope not in SCOPES
    ]
    problems += [
        f"{option} is empty, as from an unset variable. Give a value, or leave the option out."
        for option in sorted(_WITH_VALUE)
        if "" in _given(options, option)
    ]
    misread = misread_option(config)
    if misread is not None:
        problems.append(misread)
    policy, waivers = _path(config, "gate_policy"), _path(config, "gate_waivers")
    return Settings(
        scopes=scopes,
        environment=_text(config, "gate_env", "BAIS_GATES_ENV") or ENVIRONMENT_DEFAULT,
        out=_out(config),
        run_id=_run_id(config, problems),
        subject=_subject(_text(config, "gate_subject"), problems),
        imports=_imports(config),
        catalog=catalog,
        policy=policy or catalog.with_name("policy.yaml"),
        waivers=waivers or catalog.with_name("waivers.yaml"),
        policy_named=policy is not None,
        waivers_named=waivers is not None,
        faults=tuple(getattr(options, "sandbox_fault", None) or ()),
        load_duration_s=_load_duration(_text(config, "gate_load_duration"), problems),
        sign_key=_path(config, "gate_sign_key"),
        problems=tuple(problems),
    )


def _given(options: object, option: str) -> list[str]:
    """Return the values of an option, one for each time that it was given."""
    value = getattr(options, option.strip("-").replace("-", "_"), None)
    return value if isinstance(value, list) else [value] if value is not None else []


def _load_duration(text: str | None, problems: list[str]) -> float | None:
    match = _DURATION.fullmatch(text or "")
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if text is not None and seconds < _LOAD_DURATION_MIN_S:
        problems.append(f"--gate-load-duration {text}: write it as 90s, 10m or 2h, and 5s at least.")
        return None
    return seconds or None


def _scopes(config: pytest.Config) -> tuple[str, ...]:
    ini_scope = config.getini("gate_scope")
    return asked_scopes(_options(config)) or ((str(ini_scope),) if ini_scope else ())


def _out(config: pytest.Config) -> Path:
    return _path(config, "gate_out") or _root(config) / OUT_DEFAULT


def _outs(config: pytest.Config) -> tuple[Path, ...]:
    """Return where somebody may look for this run's decision: its report folder, and that of `verify` here.

    They differ where ``--rootdir`` or ``-c`` leads out of the folder in which pytest was called.
    """
    out = _out(config)
    return (out,) if _path(config, "gate_out") else (out, config.invocation_params.dir / OUT_DEFAULT)


def _root(config: pytest.Config) -> Path:
    return config.rootpath if misread_option(config) is None else config.invocation_params.dir


def _text(config: pytest.Config, key: str, variable: str | None = None) -> str | None:
    value = getattr(_options(config), key, None)
    if value is None and variable is not None:
        value = os.environ.get(variable) or None
    if value is None:
        value = config.getini(key)
    return str(value) if value else None


def _path(config: pytest.Config, key: str) -> Path | None:
    """Return a path: of an option, relative to where pytest was called; of an ini key, to its file."""
    option = getattr(_options(config), key, None)
    if option:
        return _absolute(config.invocation_params.dir / _expanded(option))
    value = config.getini(key)
    if not value:
        return None
    base = config.inipath.parent if config.inipath is not None else config.rootpath
    return _absolute(base / _expanded(str(value)))


def _expanded(text: str) -> str:
    return os.path.expanduser(text)  # noqa: PTH111 - pathlib raises for a user whom nobody knows


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and show other names


def _imports(config: pytest.Config) -> tuple[Path, ...]:
    named = getattr(_options(config), "gate_import", None)
    if named:
        return tuple(_absolute(config.invocation_params.dir / path) for path in named)
    return tuple(_absolute(config.rootpath / str(path)) for path in config.getini("gate_import"))


def _run_id(config: pytest.Config, problems: list[str]) -> str:
    named = _text(config, "gate_run_id", "BAIS_GATES_RUN_ID")
    if named is not None and _RUN_ID.fullmatch(named):
        return named
    if named is not None:
        problems.append(
            "--gate-run-id (or BAIS_GATES_RUN_ID): use up to 200 letters, digits and . _ : / - , and begin "
            "with a letter or digit."
        )
    generated = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:12]}"
    return config.stash.setdefault(_run_id_key, generated)


def _subject(text: str | None, problems: list[str]) -> Subject | None:
    if text is None:
        return None
    try:
        return parse_subject(text)
    except ValueError as error:
        problems.append(f"--gate-subject: {error}.")
        return None


def misread_option(config: pytest.Config) -> str | None:
    """Return the option whose value may have led pytest out of the project, as one paragraph; or None.

    pytest looks for its configuration beside every word that could be the path of tests, before it loads
    the plugins that know better: in ``--gate-env /etc/env.yaml`` beside the second word, so that the
    project's own settings are lost. No hook comes before that. The form with ``=`` is read correctly.
    """
    here, options = config.invocation_params.dir, _options(config)
    if getattr(options, "inifilename", None) or getattr(options, "rootdir", None):
        return None
    words = [*_words_of_environment(), *map(str, config.invocation_params.args)]
    given = [str(path).partition("::")[0] for path in getattr(options, "file_or_dir", None) or ()]
    bases = [_absolute(here / path) for path in given] or [here]
    for option, value in pairwise(words):
        if option in _WITH_VALUE and not value.startswith("-"):
            folder = _absolute(here / value.partition("::")[0])
            root = _configured(folder)
            inside = all(_configured(base) == root for base in bases)
            if not inside or (root is None and here not in {folder, *folder.parents}):
                return (
                    f"pytest takes {value} behind {option} for a path of tests, and looks for "
                    f"its configuration there, not in this project. Write {option}={value} instead."
                )
    return None


def restart_with_joined_options(config: pytest.Config) -> None:
    """Replace this process by pytest with the options joined by ``=``, if the command line misled it.

    There is no plainer way: what pytest found is final when the first hook is called, and without the
    project's own settings neither its gates nor its plugins are the same. Where it can't be done (pytest
    called by a program, an option in PYTEST_ADDOPTS) ``resolve`` reports it.
    """
    given = [str(one) for one in config.invocation_params.args]
    joined: list[str] = []
    words = iter(given)
    for word in words:
        value = next(words, None) if word in _WITH_VALUE else None
        joined.append(word if value is None else f"{word}={value}")
    if joined == given or sys.orig_argv[-len(given) :] != given or misread_option(config) is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    before = sys.orig_argv[1 : -len(given)]
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, *before, *joined])  # noqa: S606 - the same program, no shell


def _configured(path: Path) -> Path | None:
    """Return the nearest folder, from a path upwards, with a file that may hold pytest's configuration."""
    for folder in (path, *path.parents):
        # Not Path.is_file, which raises for a name that is too long, as a subject's may be.
        if any(os.path.isfile(folder / name) for name in _CONFIGURATIONS):  # noqa: PTH113
            return folder
    return None


def _words_of_environment() -> list[str]:
    return shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))


def _options(config: pytest.Config) -> argparse.Namespace:
    """Return the options as far as pytest has parsed them.

    Between the loading of this plugin and pytest's next look at the command line the plugin's options are
    read here: other plugins' errors may end the run before that look.
    """
    known = config.known_args_namespace
    if hasattr(known, "gate_out"):
        return known
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False, fromfile_prefix_chars="@"
    )
    for name in _NAMES:
        parser.add_argument(f"--gate-{name}")
    options = argparse.Namespace(**vars(known))
    words = (*config.getini("addopts"), *_words_of_environment(), *map(str, config.invocation_params.args))
    with contextlib.suppress(argparse.ArgumentError):  # pytest will report it
        parser.parse_known_args(words, options)
    return options
