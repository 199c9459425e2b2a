"""`anomalite serve`: the gateway, for months."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.errors import AnomaliteError
from edge_runtime.gateway.assemble import assemble
from edge_runtime.gateway.clock import SystemClock
from edge_runtime.gateway.config import GatewayConfig
from edge_runtime.gateway.config_file import read_config
from edge_runtime.gateway.gateway import Gateway
from edge_runtime.gateway.log import Log
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.service import Notifier, Signals, unit

if TYPE_CHECKING:
    from edge_runtime.gateway.web import Web


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.print_unit:
        write(unit(os.path.abspath(options.config), os.path.abspath(sys.argv[0])).rstrip())
        return EXIT_DONE
    config = read_config(options.config)
    if options.check:
        from edge_runtime.gateway.check import check

        report = check(config, options.config)
        for line in [json.dumps(report.to_json())] if options.json else report.lines():
            write(line)
        return report.status
    return serve(options.config, config, Log(options.log_format, options.log_level))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomalite serve",
        description="Score the readings of many machines as they come, and get alerts out. Runs until it is told to stop (SIGTERM); "
        "SIGHUP reads the configuration again.",
        epilog="examples: anomalite serve gateway.toml --check; anomalite serve gateway.toml --log-format json; "
        "anomalite serve gateway.toml --print-unit | sudo tee /etc/systemd/system/anomalite.service",
    )
    parser.add_argument("config", metavar="GATEWAY.toml", help="the configuration (docs/gateway.md)")
    parser.add_argument("--check", action="store_true", help="check everything, say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="with --check: one JSON object instead of a table")
    parser.add_argument("--print-unit", action="store_true", help="print a systemd unit for this configuration")
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="one line an event, on standard error"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    return parser


def serve(path: str, config: GatewayConfig, log: Log) -> int:
    """Run until a signal says stop, or all input has ended; with SIGHUP begin again with the configuration as it is then."""
    service = Service(path, config, log)
    with Signals(service.wake) as signals:
        service.run(signals)
    return EXIT_DONE


class Service:
    """One gateway after the other: another configuration is another gateway, which takes up what the one before it saved."""

    def __init__(self, path: str, config: GatewayConfig, log: Log) -> None:
        self._path, self._config, self._log = path, config, log
        self._next: GatewayConfig | None = None
        self._notifier, self._clock, self._version = Notifier(), SystemClock(), _version()
        self._gateway: Gateway | None = None

    def wake(self) -> None:
        """A signal came: the gateway has to look at once. Called from any thread."""
        if self._gateway is not None:
            self._gateway.parts.inbox.wake()

    def run(self, signals: Signals) -> None:
        """Raises what `assemble` and `Web.start` do at the first start; a later configuration that fails so is logged and left."""
        working: GatewayConfig | None = None
        while True:
            seen = Seen(self._clock.monotonic, self._clock.wall)
            try:
                gateway, web = self._open(self._config, seen)
            except AnomaliteError as fault:
                if working is None or working is self._config:
                    raise
                self._log("reload_failed", "error", fault=str(fault), note="the configuration before it goes on")
                self._config = working
                continue
            working = self._config
            try:
                self._log(
                    "started",
                    name=self._config.name,
                    version=self._version,
                    machines=sum(len(f.names) for f in gateway.parts.fleets),
                )
                self._notifier.ready(f"watching {sum(len(fleet.names) for fleet in gateway.parts.fleets)} machines")
                gateway.run(lambda: self._goes_on(signals))
            finally:
                self._gateway = None
                if web is not None:
                    web.stop()
            if self._next is None:
                self._log("stopped")
                self._log.close()
                return
            self._config, self._next = self._next, None

    def _open(self, config: GatewayConfig, seen: Seen) -> tuple[Gateway, Web | None]:
        gateway = assemble(config, self._clock, self._log, seen, self._version)
        web = None
        if config.http is not None:
            try:
                web = _web(gateway, seen, config.storage.folder, self._log)
                web.start(config.http.address, config.http.port)
            except BaseException:
                gateway.stop()
                raise
        self._gateway = gateway
        return gateway, web

    def _goes_on(self, signals: Signals) -> bool:
        self._notifier.beat()
        self._log.tick()
        if signals.is_stopping:
            self._notifier.stopping()
            return False
        if signals.take_reload():
            self._notifier.reloading()
            try:
                self._next = read_config(self._path)
            except AnomaliteError as fault:
                self._log("reload_failed", "error", fault=str(fault), note="the configuration as it was goes on")
                self._notifier.ready()
            else:
                self._log("reloading")
                return False
        return not (self._gateway is not None and self._gateway.is_finished)


def _web(gateway: Gateway, seen: Seen, folder: str, log: Log) -> Web:
    """The page, /metrics and /healthz. Imported where they are asked for: it is 4 MB of memory. Raises `ExtraMissingError`."""
    from edge_runtime.gateway.answers import Answers
    from edge_runtime.gateway.device import Device
    from edge_runtime.gateway.exposition import Exposition
    from edge_runtime.gateway.web import Web

    answers = Answers(seen, Exposition(gateway.parts.metrics, seen), Device(folder))
    return Web(answers, lambda line: log("http_fault", fault=line))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("anomalite")
    except PackageNotFoundError:
        return "unknown"
