"""`anomalite serve --check`: is all that the gateway needs there, and what would it do?

Every check is made, whatever the others found. Nothing is changed: folders are not made, the broker is asked under a client id of its own,
and a gateway that runs meanwhile goes on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, NamedTuple

from edge_runtime.errors import InputError
from edge_runtime.gateway.check_broker import broker_findings
from edge_runtime.gateway.check_bundles import Opened, bundle_findings
from edge_runtime.gateway.check_finding import Finding, fine, note, wrong
from edge_runtime.gateway.check_places import is_running, journal_findings, storage_findings, tls_findings
from edge_runtime.gateway.config import HTTP, MQTT, GatewayConfig, Group
from edge_runtime.gateway.config_file import secret
from edge_runtime.gateway.intake import LEAST_SILENCE_S
from edge_runtime.gateway.topics import MACHINE

EXIT_FINE, EXIT_WRONG = 0, 2


class Report(NamedTuple):
    """What was found, and what the gateway would do."""

    source: str
    """The configuration's file."""
    findings: tuple[Finding, ...]
    plan: dict[str, Any]
    """For machines to read; `lines` has the same for people."""

    @property
    def is_fine(self) -> bool:
        """Whether the gateway could do its work; notes do not count."""
        return all(finding.state != "wrong" for finding in self.findings)

    @property
    def status(self) -> int:
        """The exit status."""
        return EXIT_FINE if self.is_fine else EXIT_WRONG

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        findings = [finding._asdict() for finding in self.findings]
        return {"config": self.source, "fine": self.is_fine, "findings": findings, "plan": self.plan}

    def lines(self) -> Iterator[str]:
        """A table of the findings, then the plan, for people."""
        width = max(len(finding.what) for finding in self.findings)
        for state, what, text in self.findings:
            yield f"{state.upper() if state == 'wrong' else state:5}  {what:{width}}  {text}"
        yield ""
        for group in self.plan["groups"]:
            yield from _group_lines(group)
        for key in ("alerts", *(["commands"] if self.plan["commands"] else []), "disk", "page"):
            yield f"{key:9}  {self.plan[key] or 'none'}"
        for work in self.plan["maintenance"]:
            yield f"{'work':9}  {', '.join(work['machines'])}: {work['start']} to {work['end']} {work['note']}".rstrip()
        count = sum(finding.state == "wrong" for finding in self.findings)
        yield ""
        yield "all is fine" if not count else f"{count} of {len(self.findings)} checks found something wrong"


def check(config: GatewayConfig, path: str) -> Report:
    """Check a configuration that was read from `path`. Takes some seconds where the broker does not answer; raises nothing of its own."""
    findings = [fine("configuration", f"{path}: {len(config.groups)} group{'' if len(config.groups) == 1 else 's'}")]
    opened: list[Opened | None] = []
    for index, group in enumerate(config.groups):
        found, bundle = bundle_findings(f"group {index + 1}", group)
        findings += [*found, *_lines_findings(f"group {index + 1}", group)]
        opened.append(bundle)
    running = is_running(config.storage.folder)
    if running:
        findings.append(note("storage", f"{config.storage.folder}: a gateway is running on it now"))
    findings += [*storage_findings(config.storage), *journal_findings(config.storage)]
    if config.mqtt is not None:
        findings += _mqtt_findings(config, config.mqtt)
    if config.http is not None:
        findings += _http_findings(config.http, running)
    findings += _maintenance_findings(config)
    return Report(path, tuple(findings), _plan(config, opened))


def _lines_findings(what: str, group: Group) -> list[Finding]:
    if group.lines is None or group.lines == "-":
        return []
    try:
        with open(group.lines, "rb"):
            return [fine(what, f"{group.lines}: can be read")]
    except FileNotFoundError:
        return [note(what, f"{group.lines}: is not there yet; it is waited for")]
    except OSError as fault:
        return [wrong(what, f"{group.lines}: cannot be read: {fault.strerror}")]


def _mqtt_findings(config: GatewayConfig, mqtt: MQTT) -> list[Finding]:
    findings = [] if mqtt.tls is None else tls_findings(mqtt.tls)
    if mqtt.tls is None and mqtt.user is not None and mqtt.host not in ("localhost", "127.0.0.1", "::1"):
        findings.append(note("broker", "without TLS the password can be read on the way: add the table mqtt.tls"))
    try:
        password, warning = secret(mqtt)
    except InputError as fault:
        return [*findings, wrong("password", str(fault)), note("broker", "not asked, without the password")]
    if warning:
        findings.append(note("password", warning))
    elif password is not None:
        findings.append(fine("password", f"found in {mqtt.password_env or mqtt.password_file}"))
    if any(finding.state == "wrong" and finding.what == "tls" for finding in findings):
        return [*findings, note("broker", "not asked, without what TLS needs")]
    if find_spec("paho") is None:
        return [*findings, wrong("broker", "needs the package 'paho-mqtt': pip install 'anomalite[gateway]'")]
    return [*findings, *broker_findings(config, mqtt, password)]


def _http_findings(http: HTTP, running: bool) -> list[Finding]:
    findings = []
    if find_spec("prometheus_client") is None:
        findings.append(wrong("http", "needs the package 'prometheus_client': pip install 'anomalite[gateway]'"))
    where = f"{http.address}:{http.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(http.address, http.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        findings.append(fine("http", f"{where}: free"))
    except OSError as fault:
        if running:
            findings.append(note("http", f"{where}: {fault.strerror}, maybe by the gateway that is running"))
        else:
            findings.append(wrong("http", f"{where}: cannot be listened on: {fault.strerror}"))
    if http.address not in ("127.0.0.1", "::1", "localhost"):
        findings.append(note("http", f"{where}: the page has no login, and is seen from other computers"))
    return findings


def _maintenance_findings(config: GatewayConfig) -> list[Finding]:
    now = datetime.now(UTC)
    over = [work for work in config.maintenance if work.end <= now]
    return [note("maintenance", f"{len(over)} of {len(config.maintenance)} windows are over")] if over else []


def _plan(config: GatewayConfig, opened: list[Opened | None]) -> dict[str, Any]:
    mqtt, storage = config.mqtt, config.storage
    topics = None if mqtt is None else f"{mqtt.prefix}/{config.name}"
    return {
        "name": config.name,
        "groups": [_group_plan(*each) for each in zip(config.groups, opened, strict=True)],
        "alerts": None if mqtt is None else f"{topics}/alerts/MACHINE at {mqtt.host}:{mqtt.broker_port}",
        "commands": f"{topics}/commands" if mqtt is not None and mqtt.commands else None,
        "disk": f"at most {storage.max_mb:g} MB in {storage.folder}, {storage.keep_days:g} days",
        "page": None if config.http is None else f"http://{config.http.address}:{config.http.port}/",
        "maintenance": [
            {**vars(work), "start": work.start.isoformat(), "end": work.end.isoformat()} for work in config.maintenance
        ],
    }


def _group_plan(group: Group, opened: Opened | None) -> dict[str, Any]:
    plan: dict[str, Any] = {
        "bundle": os.path.basename(group.bundle),
        "topic": group.topic,
        "lines": group.lines,
        "qos": group.qos if group.topic is not None else None,
        "machines": list(group.machines),
        "appear": group.appear,
        "payload": group.payload.kind,
        "time": group.payload.time,
    }
    if opened is not None:
        silent = group.silent_after_s or max(LEAST_SILENCE_S, 3 * opened.manifest.sampling.longest_gap_s)
        plan |= {"name": opened.manifest.name, "family": opened.manifest.family, "engine": opened.engine}
        plan |= {"variant": opened.variant, "silent_after_s": silent}
        plan["channels"] = {channel.name: channel.unit for channel in opened.manifest.channels}
    return plan


def _group_lines(plan: dict[str, Any]) -> Iterator[str]:
    engine = f", {plan['variant']} on {plan['engine']}" if "engine" in plan else ""
    yield f"{'group':9}  {plan['bundle']}{engine}"
    where = plan["topic"] if plan["lines"] is None else "standard input" if plan["lines"] == "-" else plan["lines"]
    time = "the time of arrival" if plan["time"] is None else f"the time in it ({plan['time']})"
    yield f"  from     {where}: {plan['payload']}, at {time}"
    names = ", ".join([*plan["machines"][:10], *(["..."] if len(plan["machines"]) > 10 else [])])
    more = f"{' and ' if names else ''}up to {plan['appear']} more{f' as {MACHINE}' if plan['topic'] else ''}"
    yield (
        f"  machines {len(plan['machines'])}: {names}{more if plan['appear'] else ''}"
        if names
        else f"  machines {more}"
    )
    if "channels" in plan:
        yield f"  channels {', '.join(f'{name} [{unit}]' if unit else name for name, unit in plan['channels'].items())}"
        yield f"  silent   after {plan['silent_after_s']:g} s"
