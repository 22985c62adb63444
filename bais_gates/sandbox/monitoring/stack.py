"""The processes of the sandbox's monitoring, started by the supervisor."""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.sandbox.files import read_object, write_json, write_private
from bais_gates.sandbox.monitoring import SERVED
from bais_gates.sandbox.oncall import Access
from bais_gates.sandbox.oncall.people import pages, people_and_service
from bais_gates.sandbox.oncall.records import write_records
from bais_gates.sandbox.processes import Part, bound_socket, fork_module, free_port, spawn
from bais_gates.sandbox.services import postgres, redis
from bais_gates.servers import known_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from socket import socket

    from bais_gates.sandbox.configuration import Platform

_MODULE: Final = "bais_gates.sandbox.monitoring.__main__"
_SECRETS: Final = "/etc/alertmanager/secrets/"
_PAGER: Final = re.compile(r"https://events(\.eu)?\.pagerduty\.com/v2/enqueue")
_WATCHDOG: Final = re.compile(r"(?m)^(\s*(?:- *\{? *)?url: *)['\"]?https?://[^\s'\",}]+['\"]?")
_EVERY: Final = "2s"


class Monitoring:
    """Starts the stack at the first request. Its ports are reserved until then, as gates are told them."""

    def __init__(self, directory: Path, platform: Platform) -> None:
        self._directory, self._home, self._platform = directory, directory / "monitoring", platform
        self._secrets = self._home / "secrets"
        self._reserved: dict[str, socket] = {
            name: bound_socket() for name in ("prometheus", "alertmanager", "monitoring")
        }
        self.ports = {name: int(one.getsockname()[1]) for name, one in self._reserved.items()}
        self.parts: dict[str, Part] = {}
        self.access = Access()

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Respond to ``{"op": "monitoring", "programs": {...}, "artefacts": <folder>}``.

        Starts what does not run. Raises ``OSError``.
        """
        self._home.mkdir(mode=0o700, exist_ok=True)
        programs = {name: Path(path) for name, path in request["programs"].items()}
        artefacts = Path(request["artefacts"])
        fresh, blank = self._ended("prometheus"), self._ended("monitoring")
        if blank:  # the stand-ins have forgotten everything
            self._start_own(artefacts)
        exporters = {
            "node": self._start_node_exporter,
            "postgres": self._start_postgres_exporter,
            "redis": self._start_redis_exporter,
        }
        for name, start in exporters.items():
            if self._ended(f"{name}-exporter"):
                self.ports[name] = free_port()
                start(programs[f"{name}_exporter"], artefacts)
        if self._ended("alertmanager"):
            self._start_alertmanager(programs["alertmanager"], artefacts)
        if self._ended("prometheus"):
            self._start_prometheus(programs["prometheus"], artefacts)
        return {"ports": self.ports, "fresh": fresh, "blank": blank}

    def _ended(self, name: str) -> bool:
        return name not in self.parts or self.parts[name].status is not None

    def _free(self, name: str) -> str:
        """Give up the reservation of a port, and return the address to listen at."""
        if reserved := self._reserved.pop(name, None):
            reserved.close()
        return f"127.0.0.1:{self.ports[name]}"

    def _start_own(self, artefacts: Path) -> None:
        listening = self._reserved.pop("monitoring", None) or bound_socket(self.ports["monitoring"])
        config = self._home / "monitoring.json"
        rotation = artefacts.parent / "oncall" / "rotation.yaml"
        people, service = people_and_service(rotation)
        self._secrets.mkdir(mode=0o700, exist_ok=True)
        stand_ins = {
            "access": asdict(self.access),
            "people": people,
            "service": service,
            "pages": pages(rotation, artefacts / "rules"),
        }
        write_records(self._home / "records", [name for name, _ in people])
        write_json(self._secrets / "oncall.json", stand_ins)
        with listening:
            write_json(
                config,
                {
                    "fd": listening.fileno(),
                    "directory": str(self._directory),
                    "api_port": read_object(self._directory / "api.json")["port"],
                    "oncall": str(self._secrets / "oncall.json"),
                },
            )
            self.parts["monitoring"] = fork_module(
                "monitoring",
                _MODULE,
                [config],
                log=self._log("monitoring"),
                directory=self._home,
                pass_fds=(listening.fileno(),),
            )

    def _start_node_exporter(self, program: Path, _artefacts: Path) -> None:
        collectors = [f"--collector.{name}" for name in ("cpu", "meminfo", "filesystem", "vmstat")]
        self._spawn(
            "node-exporter",
            [
                *(program, f"--web.listen-address=127.0.0.1:{self.ports['node']}", "--log.level=warn"),
                *("--collector.disable-defaults", *collectors),
            ],
        )

    def _start_postgres_exporter(self, program: Path, artefacts: Path) -> None:
        try:
            known = known_options(program)
        except GateInputError as error:
            raise OSError(str(error)) from error
        self._spawn(
            "postgres-exporter",
            [
                *(program, f"--web.listen-address=127.0.0.1:{self.ports['postgres']}", "--log.level=warn"),
                *_postgres_options(known, artefacts),
            ],
            variables={"DATA_SOURCE_NAME": self._platform.database.url(postgres.GATES_ROLE)},
        )

    def _start_redis_exporter(self, program: Path, _artefacts: Path) -> None:
        account, _, address = self._platform.cache.url(redis.GATES_USER).partition("://")[2].rpartition("@")
        user, _, password = account.partition(":")
        self._spawn(
            "redis-exporter",
            [
                *(program, f"-web.listen-address=127.0.0.1:{self.ports['redis']}"),
                f"-redis.addr=redis://{address.partition('/')[0]}",
            ],
            variables={"REDIS_USER": user, "REDIS_PASSWORD": password},
        )

    def _start_alertmanager(self, program: Path, artefacts: Path) -> None:
        write_private(self._home / "alertmanager.yaml", self._alertmanager_file(artefacts))
        for template in artefacts.glob("*.tmpl"):
            write_private(self._home / template.name, template.read_text(encoding="utf-8"))
        assets, link = (
            program.parents[1] / "share/prometheus/alertmanager",
            self._home / "alertmanager-assets",
        )
        if assets.is_dir() and not link.exists():  # where an unpacked Alertmanager of Debian's looks for them
            link.symlink_to(assets)
        self._spawn(
            "alertmanager",
            [
                *(program, f"--config.file={self._home / 'alertmanager.yaml'}", "--log.level=warn"),
                *(f"--storage.path={self._home / 'alertmanager-data'}", "--cluster.listen-address="),
                f"--web.listen-address={self._free('alertmanager')}",
            ],
        )

    def _alertmanager_file(self, artefacts: Path) -> str:
        """Return the platform's configuration, with receivers and secret files of the sandbox's own."""
        text = (artefacts / "alertmanager.yaml").read_text(encoding="utf-8")
        own, folder = f"http://127.0.0.1:{self.ports['monitoring']}", self._secrets
        for name in set(re.findall(rf"{_SECRETS}([\w.-]+)", text)):
            pages = self.access.routing_key if "pagerduty" in name else secrets.token_hex(16)
            content = f"{own}/slack/{name}" if "slack" in name else pages
            write_private(folder / name, content)
        text = _PAGER.sub(f"{own}/v2/enqueue", text.replace(_SECRETS, f"{folder}/"))
        return _WATCHDOG.sub(rf"\g<1>{own}/watchdog", text)

    def _start_prometheus(self, program: Path, artefacts: Path) -> None:
        rules = self._home / "rules"
        rules.mkdir(mode=0o700, exist_ok=True)
        for file in sorted((artefacts / "rules").glob("*.yaml")):
            write_private(rules / file.name, file.read_text(encoding="utf-8"))
        write_json(self._home / "prometheus.yaml", self._prometheus_file())  # JSON is YAML
        self._spawn(
            "prometheus",
            [
                *(program, f"--config.file={self._home / 'prometheus.yaml'}", "--log.level=warn"),
                *(f"--storage.tsdb.path={self._home / 'data'}", "--web.enable-lifecycle"),
                f"--web.listen-address={self._free('prometheus')}",
                "--rules.alert.resend-delay=3s",  # the first are lost: Alertmanager is discovered after 5 s
            ],
        )

    def _prometheus_file(self) -> dict[str, object]:
        own = self.ports["monitoring"]
        static = {
            name: self.ports[name] for name in ("postgres", "redis", "node", "prometheus", "alertmanager")
        }
        api = {
            "job_name": "bais-api",
            "scheme": "https",
            "tls_config": {"ca_file": str(self._platform.certificates.ca)},
            "http_sd_configs": [{"url": f"http://127.0.0.1:{own}/targets", "refresh_interval": "1s"}],
        }
        jobs = [api, *(_job(name, port) for name, port in static.items())]
        jobs += [_job(name, own) | {"metrics_path": f"/metrics/{name}"} for name in SERVED]
        return {
            "global": {"scrape_interval": _EVERY, "scrape_timeout": _EVERY, "evaluation_interval": _EVERY},
            "rule_files": [str(self._home / "rules" / "*.yaml")],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"127.0.0.1:{self.ports['alertmanager']}"]}]}
                ]
            },
            "scrape_configs": jobs,
        }

    def _spawn(
        self, name: str, command: list[str | Path], *, variables: Mapping[str, str] | None = None
    ) -> None:
        self.parts[name] = spawn(
            name, command, log=self._log(name), directory=self._home, variables=variables
        )

    def _log(self, name: str) -> Path:
        return self._directory / "logs" / f"{name}.log"


def _job(name: str, port: int) -> dict[str, object]:
    return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def _postgres_options(known: str, artefacts: Path) -> list[str]:
    """Return what makes a postgres_exporter with these options export what the rules read.

    Its own collectors of statements and of the background writer fail on PostgreSQL 17 until 0.17 and 0.16.
    """
    if takes_queries := "--extend.query-path" in known:
        on = [f"--extend.query-path={artefacts / 'postgres-queries.yaml'}"]
    else:
        on = ["--collector.stat_statements", "--collector.database_wraparound"]
    off = ("bgwriter", "stat_bgwriter", *(["replication"] if takes_queries else []))
    return [*(f"--no-collector.{name}" for name in off if f"--collector.{name} " in known), *on]
