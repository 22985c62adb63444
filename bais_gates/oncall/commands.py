"""Check the commands in the blocks of a runbook: programs, objects, metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from bais_gates.monitoring import promql
from bais_gates.monitoring.context import Context
from bais_gates.monitoring.expressions import check_selectors
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.rulefiles import Rule, Text
from bais_gates.oncall.objects import Inventory, check_kubectl, selected, targets
from bais_gates.oncall.programs import OWN, VARIABLES, Call, UnknownUseError, read
from bais_gates.oncall.runbooks import Block
from bais_gates.oncall.shell import Pipeline, pipelines

_NOT_SHELL: Final = frozenset({"", "bash", "shell", "console", "zsh"})
_URL: Final = re.compile(
    r"(?:https?://(?P<host>[\w.-]+)|\$\{?\w+\}?)(?::\d+)?(?P<path>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL
)
_QUERY: Final = ("query", "match[]")


@dataclass(slots=True)
class Named:
    """What the commands of a runbook name."""

    metrics: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    """Jobs that they make."""


class Checker:
    """Judges commands by the metrics and the objects of a platform."""

    def __init__(
        self, context: Context, inventory: Inventory, own_fault: Callable[[Sequence[str]], str] | None
    ) -> None:
        self._context = context
        self._inventory = inventory
        self._own_fault = own_fault

    def check(self, path: str, blocks: Iterable[Block], named: Named) -> Iterator[Finding]:
        """Yield what is wrong with the commands of some blocks; note in ``named`` what they name."""
        for block in blocks:
            if block.language in _NOT_SHELL:
                place = Place(path=path, line=block.line - 1, column=1)
                yield Finding(check="block", place=place, message="name the language; of commands it is sh")
            if block.language != "sh":
                continue
            for one in pipelines(block.text, block.line):
                yield from self._pipeline(one, Place(path=path, line=one.line, column=1), named)

    def _pipeline(self, one: Pipeline, place: Place, named: Named) -> Iterator[Finding]:
        if one.fault:
            yield Finding(check="shell", place=place, message=one.fault)
        for name in sorted(one.variables - VARIABLES.keys()):
            message = f"${name} is not one of the variables of runbooks: {', '.join(VARIABLES)}"
            yield Finding(check="variable", place=place, message=message)
        for number, words in enumerate(one.commands):
            yield from self._command(words, place, named, behind_pipe=number > 0)

    def _command(
        self, words: Sequence[str], place: Place, named: Named, *, behind_pipe: bool = False
    ) -> Iterator[Finding]:
        try:
            call = read(words, behind_pipe=behind_pipe)
        except UnknownUseError as error:
            yield Finding(check="program", place=place, message=str(error))
            return
        if call.program == "kubectl":
            named.objects |= {name for _, name in targets(call)[1]}
            named.objects |= {value for _, value in selected(call)}
            for message in check_kubectl(call, self._inventory, named.created):
                yield Finding(check="object", place=place, message=message)
            if call.verb == "create job":
                named.created |= set(call.arguments)
            if call.verb == "exec":
                yield from self._inside(call, place, named)
        if call.program == "curl":
            yield from self._curl(call, place, named)
        for host in call.values("-connect") if call.program == "openssl" else ():
            yield from self._host(host.rpartition(":")[0], place)
        if call.program == OWN and self._own_fault and (fault := self._own_fault(call.arguments)):
            yield Finding(check="program", place=place, message=f"{OWN} would refuse it: {fault}")

    def _inside(self, call: Call, place: Place, named: Named) -> Iterator[Finding]:
        """Judge what kubectl runs in a container; a shell there has variables of its own."""
        if not call.rest:
            yield Finding(check="program", place=place, message="kubectl exec: write the command behind --")
        elif call.rest[:2] == ("sh", "-c") and len(call.rest) == 3:
            for one in pipelines(call.rest[2], place.line):
                own = Pipeline(line=place.line, commands=one.commands, fault=one.fault)
                yield from self._pipeline(own, place, named)
        else:
            yield from self._command(call.rest, place, named)

    def _curl(self, call: Call, place: Place, named: Named) -> Iterator[Finding]:
        """Judge addresses and the PromQL in them."""
        if not call.arguments:
            yield Finding(check="program", place=place, message="curl without an address")
        data = [one.partition("=") for one in call.values("-d", "--data", "--data-urlencode")]
        queries = [value for key, _, value in data if key in _QUERY]
        for url in call.arguments:
            match = _URL.fullmatch(url)
            if match is None:
                message = f"{url[:60]} is no address; begin with https:// or a variable"
                yield Finding(check="program", place=place, message=message)
                continue
            yield from self._host(match["host"], place)
            queries += [value for key, value in parse_qsl(match["query"] or "") if key in _QUERY]
            asks = match["path"].endswith(("/api/v1/query", "/api/v1/query_range", "/api/v1/series"))
            if asks != bool(queries):
                message = "a query=... and the path /api/v1/query belong together; one of them is missing"
                yield Finding(check="promql", place=place, message=message)
        for query in queries:
            yield from self._promql(query, place, named)

    def _host(self, host: str | None, place: Place) -> Iterator[Finding]:
        """Find a host that is none of the platform's; a variable stands for one that is."""
        if host and "$" not in host and host not in self._inventory.hosts:
            message = f"{host[:60]} is no host of an Ingress, and no Service as in NAME.NAMESPACE"
            yield Finding(check="object", place=place, message=message)

    def _promql(self, query: str, place: Place, named: Named) -> Iterator[Finding]:
        try:
            tree = promql.parse(query)
        except promql.PromqlError as error:
            yield Finding(check="promql", place=place, message=f"not PromQL: {error}")
            return
        named.metrics |= promql.metrics(tree)
        text = Text(value=query, place=place)
        as_rule = Rule(
            group="", kind="query", name=Text(value="the query", place=place), expr=text, tree=tree,
            for_s=0.0, keep_firing_for_s=0.0, labels={}, annotations={}, line=place.line,
        )  # fmt: skip
        for one in check_selectors(as_rule, self._context):
            yield Finding(check=one.check, place=place, message=one.message)
