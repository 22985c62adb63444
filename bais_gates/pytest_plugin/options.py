"""The options of a run, their ini keys and variables: declared, and resolved to values."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from bais_gates.verdict.model import SCOPES, Subject, parse_subject

CATALOG_DEFAULT = Path("gates", "catalog.yaml")
OUT_DEFAULT = "gate-report"
ENVIRONMENT_DEFAULT = "sandbox"

_WITH_PATH = frozenset(
    f"--gate-{name}" for name in ("env", "out", "catalog", "policy", "waivers", "import", "subject")
)
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")


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
    usual = config.rootpath / CATALOG_DEFAULT
    asked = getattr(config.known_args_namespace, "gate_scope", None) or misread_option(config)
    return usual if asked or usual.is_file() else None


def asked_scopes(options: object) -> tuple[str, ...]:
    """Return the scopes that ``--gate-scope``, or else the ``-m`` expression, names, in SCOPES' order."""
    scope = getattr(options, "gate_scope", None)
    if scope:
        return (str(scope),)
    words = set(re.findall(r"\w+", getattr(options, "markexpr", None) or ""))
    return tuple(scope for scope in SCOPES if scope in words)


def resolve(config: pytest.Config, catalog: Path) -> Settings:
    """Return the settings of a run whose catalog is at ``catalog``; never raises for what a person wrote."""
    options = config.known_args_namespace
    scopes = asked_scopes(options)
    ini_scope = config.getini("gate_scope")
    if not scopes and ini_scope:
        scopes = (str(ini_scope),)
    problems = [
        f"--gate-scope {scope}: no such scope. Use one of {', '.join(SCOPES)}."
        for scope in scopes
        if scope not in SCOPES
    ]
    misread = misread_option(config)
    if misread is not None:
        problems.append(misread)
    base = config.rootpath if misread is None else config.invocation_params.dir
    policy, waivers = _path(config, "gate_policy"), _path(config, "gate_waivers")
    return Settings(
        scopes=scopes,
        environment=_text(config, "gate_env", "BAIS_GATES_ENV") or ENVIRONMENT_DEFAULT,
        out=_path(config, "gate_out") or base / OUT_DEFAULT,
        run_id=_run_id(config, problems),
        subject=_subject(_text(config, "gate_subject"), problems),
        imports=_imports(config),
        catalog=catalog,
        policy=policy or catalog.with_name("policy.yaml"),
        waivers=waivers or catalog.with_name("waivers.yaml"),
        policy_named=policy is not None,
        waivers_named=waivers is not None,
        faults=tuple(getattr(options, "sandbox_fault", None) or ()),
        problems=tuple(problems),
    )


def _text(config: pytest.Config, key: str, variable: str | None = None) -> str | None:
    value = getattr(config.known_args_namespace, key, None)
    if value is None and variable is not None:
        value = os.environ.get(variable) or None
    if value is None:
        value = config.getini(key)
    return str(value) if value else None


def _path(config: pytest.Config, key: str) -> Path | None:
    """Return a path: of an option, relative to where pytest was called; of an ini key, to its file."""
    option = getattr(config.known_args_namespace, key, None)
    if option:
        return _absolute(config.invocation_params.dir / Path(option).expanduser())
    value = config.getini(key)
    if not value:
        return None
    base = config.inipath.parent if config.inipath is not None else config.rootpath
    return _absolute(base / Path(str(value)).expanduser())


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and show other names


def _imports(config: pytest.Config) -> tuple[Path, ...]:
    named = getattr(config.known_args_namespace, "gate_import", None)
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
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:12]}"


def _subject(text: str | None, problems: list[str]) -> Subject | None:
    if text is None:
        return None
    try:
        return parse_subject(text)
    except ValueError as error:
        problems.append(f"--gate-subject: {error}.")
        return None


def misread_option(config: pytest.Config) -> str | None:
    """Return what pytest misread, if it has left the project because of it; None otherwise.

    pytest looks for its configuration beside every argument that is the path of something that exists, before
    it knows the options of plugins: in ``--gate-env /etc/env.yaml`` it takes the second word for tests. The
    form with ``=`` is read correctly.
    """
    here = config.invocation_params.dir
    options = config.known_args_namespace
    if getattr(options, "inifilename", None) or getattr(options, "rootdir", None):
        return None
    if config.inipath is not None and config.inipath.parent in {here, *here.parents}:
        return None
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
    for option, value in _separated(words):
        if Path(here, value).exists() and config.rootpath != here:
            return (
                f"pytest takes {value} behind {option} for a path of tests, and looks for its configuration "
                f"there. Write {option}={value} instead."
            )
    return None


def _separated(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options that take a path and are separated from it by a space."""
    for option, value in pairwise(arguments):
        if option in _WITH_PATH and not value.startswith("-"):
            yield option, value


def restart_with_joined_options(config: pytest.Config) -> None:
    """Replace this process by pytest with the options joined by ``=``, if the command line misled it.

    Where that can't be done (pytest called by a program, an option in PYTEST_ADDOPTS) ``resolve`` reports it.
    """
    given = [str(one) for one in config.invocation_params.args]
    joined = _joined(given)
    if joined == given or misread_option(config) is None or sys.orig_argv[-len(given) :] != given:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    before = sys.orig_argv[1 : -len(given)]
    os.execv(sys.executable, [sys.executable, *before, *joined])  # noqa: S606 - the same program, no shell


def join_options_for_workers(config: pytest.Config) -> None:
    """Have xdist pass the options to its workers joined by ``=``.

    Otherwise a report folder that this process has just made would move the workers' root.
    """
    joined = _joined([str(one) for one in config.invocation_params.args])
    config.invocation_params = dataclasses.replace(config.invocation_params, args=tuple(joined))


def _joined(arguments: Sequence[str]) -> list[str]:
    joined: list[str] = []
    words = iter(arguments)
    for word in words:
        value = next(words, None) if word in _WITH_PATH else None
        joined.append(word if value is None else f"{word}={value}")
    return joined
