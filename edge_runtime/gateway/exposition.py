"""The metrics in Prometheus' text format, made when somebody asks: names and units by its conventions.

Metrics by machine are gauges and counters with the labels `machine` and `bundle`. A machine has six lines: 10,000 machines
are 4.2 MB (190 kB compressed) and 0.4 s of a desktop's core a scrape, during which the gateway's thread goes on.
"""

from __future__ import annotations

import platform
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from edge_runtime.gateway.exposition_machines import machine_lines
from edge_runtime.gateway.metrics import Histogram, Metrics
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.status import MACHINE_STATES, Status
from edge_runtime.readings import STATUSES

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Writes the page /metrics."""

    def __init__(self, metrics: Metrics, seen: Seen) -> None:
        """Raises `ExtraMissingError` without prometheus_client."""
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector
        except ImportError:
            from edge_runtime.errors import ExtraMissingError

            raise ExtraMissingError("the gateway's /metrics", "gateway", "prometheus_client") from None
        self._metrics, self._seen = metrics, seen
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._lock = threading.Lock()

    def text(self) -> bytes:
        """All metrics now. One at a time: whoever scrapes more often waits."""
        from prometheus_client import generate_latest

        with self._lock:
            text = bytearray(generate_latest(self._registry))
            status = self._seen.status()
            if status is not None:
                for piece in machine_lines(status, self._metrics.alerts):
                    text += piece
            return bytes(text)

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric family; those of the status are missing before the gateway has published one."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        status = self._seen.status()
        yield from self._counted()
        yield from self._timed()
        healthy = GaugeMetricFamily("anomalite_healthy", "1 if the gateway does its work, as /healthz says.")
        healthy.add_metric([], not self._seen.troubles())
        yield healthy
        build = InfoMetricFamily("anomalite_build", "The program.")
        build.add_metric([], {"version": status.version if status else "", "python": platform.python_version()})
        yield build
        if status is None:
            return
        yield from _of_gateway(status)
        yield from _of_machines(status)

    def _counted(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        metrics = self._metrics
        for name, what, value in (
            ("messages", "Messages taken from the inbox.", metrics.messages),
            ("messages_dropped", "Messages that found the inbox full.", metrics.dropped),
            ("readings_late", "Readings not later than the one before, which changed nothing.", metrics.late),
            ("outbox_lost", "Messages deleted unsent, because the disk limit left no room.", metrics.outbox_lost),
            ("clock_steps", "How often the wall clock or that of a machine was set.", metrics.clock_steps),
        ):
            yield CounterMetricFamily(f"anomalite_{name}", what, value=value)
        refused = CounterMetricFamily(
            "anomalite_messages_refused", "Messages that held no readings.", labels=["reason"]
        )
        for reason, count in dict(metrics.refused).items():
            refused.add_metric([reason], count)
        yield refused
        verdicts = CounterMetricFamily(
            "anomalite_verdicts", "Readings judged, by why they have a score or none.", labels=["bundle", "status"]
        )
        for bundle, counts in dict(metrics.verdicts).items():
            for status, count in zip(STATUSES, counts, strict=True):
                verdicts.add_metric([_label(bundle), status], count)
        yield verdicts
        storage = GaugeMetricFamily("anomalite_storage_bytes", "What lies on disk.", labels=["part"])
        sizes = dict(metrics.storage_bytes)
        limit = sizes.pop("limit", None)
        for part, size in sizes.items():
            storage.add_metric([part], size)
        yield storage
        if limit is not None:
            yield GaugeMetricFamily("anomalite_storage_limit_bytes", "How much may lie on disk.", value=limit)

    def _timed(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        stages = HistogramMetricFamily(
            "anomalite_stage_duration_seconds", "How long each stage of a tick took.", labels=["stage"]
        )
        for stage, histogram in self._metrics.stages.items():
            buckets, total = _buckets(histogram)
            stages.add_metric([stage], buckets, total)
        yield stages
        latency = HistogramMetricFamily(
            "anomalite_alert_latency_seconds", "From a reading's arrival to the broker's acknowledgement of its alert."
        )
        latency.add_metric([], *_buckets(self._metrics.alert_latency))
        yield latency


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative, as Prometheus wants them, and the sum."""
    bounds = [*map(repr, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(list(histogram.counts)), strict=True)), histogram.sum


def _of_gateway(status: Status) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    for name, what, value in (
        ("inbox_messages", "Messages waiting to be looked into.", status.inbox),
        ("outbox_messages", "Messages waiting for the broker's acknowledgement.", status.outbox),
        ("problems", "How many things a person should know; the status page says which.", len(status.problems)),
        ("clock_set", "0 while the board has not heard the time yet.", status.is_clock_set),
        ("can_store", "0 while alerts and states cannot be written to the database.", status.can_store),
        ("open_alerts", "Alerts that are raised and not cleared.", sum(1 for each in status.machines if each.alert)),
    ):
        yield GaugeMetricFamily(f"anomalite_{name}", what, value=value)
    if status.broker is not None:
        yield GaugeMetricFamily("anomalite_mqtt_connected", "1 while the broker is there.", value=status.is_connected)
        yield CounterMetricFamily("anomalite_mqtt_reconnects", "Connections after the first.", value=status.reconnects)
    info = InfoMetricFamily("anomalite_bundle", "Bundles in use.", labels=["bundle"])
    for bundle in status.bundles:
        told = {"digest": bundle.digest, "family": bundle.family, "engine": bundle.engine, "variant": bundle.variant}
        info.add_metric([_label(bundle.name)], told)
    yield info


def _of_machines(status: Status) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    numbers = Counter((machine.bundle, machine.state) for machine in status.machines)
    machines = GaugeMetricFamily("anomalite_machines", "Machines in each state.", labels=["bundle", "state"])
    for bundle in sorted({bundle for bundle, _ in numbers}):
        for each in MACHINE_STATES:
            machines.add_metric([_label(bundle), each], numbers[bundle, each])
    yield machines


def _label(text: str) -> str:
    """As UTF-8 can carry it: half a surrogate pair, which JSON allows, must not cost the whole page."""
    return text if text.isascii() else text.encode(errors="replace").decode()
