"""What is counted, and how Prometheus reads it: names, units and types by its conventions."""

from __future__ import annotations

import itertools
import re
import sys
import threading

import made_status
import numpy as np
import pytest

from edge_runtime.errors import ExtraMissingError
from edge_runtime.gateway.metrics import LATENCY_BOUNDS, REFUSALS, STAGE_BOUNDS, STAGES, Histogram, Metrics
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.status import MACHINE_STATES
from edge_runtime.readings import STATUSES

prometheus_client = pytest.importorskip("prometheus_client")

UNUSUAL_UNITS = (
    "milliseconds", "microseconds", "ms", "us", "minutes", "hours", "days", "mb", "kb", "gb", "megabytes", "kilobytes", "percent", "kelvin",
)  # fmt: skip
"""What `promtool check metrics` and the naming guide want as seconds, bytes, ratio and celsius."""


def exposition(metrics, seen):
    from edge_runtime.gateway.exposition import Exposition

    return Exposition(metrics, seen).text().decode()


def families(text):
    from prometheus_client.parser import text_string_to_metric_families

    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(text, name):
    """By labels, in order of their names."""
    for family in families(text).values():
        found = {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for sample in family.samples
            if sample.name == name
        }
        if found:
            return found
    raise AssertionError(f"no metric {name}")


@pytest.fixture
def busy():
    """Metrics and a status in which everything has happened."""
    metrics, seen = Metrics(), Seen()
    seen.publish(made_status.plant(24))
    metrics.messages, metrics.dropped, metrics.late, metrics.outbox_lost, metrics.clock_steps = 11, 12, 13, 14, 15
    metrics.refuse("json")
    metrics.refuse("json")
    metrics.count_verdicts("pump", np.array([0, 0, 1, 4], np.uint8))
    metrics.count_verdicts("pump", np.array([0, 6], np.uint8))
    metrics.count_alert("press 3", "raised")
    metrics.count_alert("press 12", "raised")
    metrics.count_alert("press 12", "acknowledged")
    metrics.storage_bytes = {"database": 4096, "journal": 100, "limit": 5000}
    metrics.stages["score"].observe(0.0003)
    metrics.alert_latency.observe(0.02)
    return metrics, seen


def test_names_units_and_types_are_those_of_prometheus(busy):
    """A counter ends with _total and nothing else does, units are base units, everything has a help text, ours has our prefix."""
    text = exposition(*busy)
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE))
    assert helps.keys() == types.keys()
    assert len(types) > 25
    for name, kind in types.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert name.startswith(("anomalite_", "process_")), name
        assert (kind == "counter") == name.endswith("_total"), name
        assert kind in ("counter", "gauge", "histogram"), name
        assert not name.endswith(("_count", "_sum", "_bucket")), name
        assert helps[name].endswith(".") or name.startswith("process_"), name
        words = name.split("_")
        assert not set(words) & set(UNUSUAL_UNITS), name
        assert not {"counter", "gauge", "histogram", "summary", "metric"} & set(words), name
    for family in families(text).values():
        for sample in family.samples:
            assert all(re.fullmatch(r"[a-z][a-z_]*", label) for label in sample.labels), sample
            assert "le" not in sample.labels or family.type == "histogram", sample
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(series) == len(set(series)), "a series is there twice"


def test_values_are_those_of_the_gateway(busy):
    """Every metric of the issue's list has the number that was counted or published."""
    text = exposition(*busy)
    machines = busy[1].status().machines
    plain = {
        name: samples(text, f"anomalite_{name}")[()]
        for name in (
            "messages_total", "messages_dropped_total", "readings_late_total", "outbox_lost_total", "clock_steps_total",
            "inbox_messages", "outbox_messages", "mqtt_connected", "mqtt_reconnects_total", "problems", "healthy", "open_alerts",
        )
    }  # fmt: skip
    assert list(plain.values()) == [11, 12, 13, 14, 15, 0, 1, 1, 2, 0, 1, 3]
    assert samples(text, "anomalite_messages_refused_total") == {
        (reason,): 2 * (reason == "json") for reason in REFUSALS
    }
    verdicts = samples(text, "anomalite_verdicts_total")
    assert verdicts == {
        ("pump", status): {"scored": 3, "warming_up": 1, "sensor_fault": 1, "collecting": 1}.get(status, 0)
        for status in STATUSES
    }
    assert samples(text, "anomalite_storage_bytes") == {("database",): 4096, ("journal",): 100}
    assert samples(text, "anomalite_storage_limit_bytes")[()] == 5000
    for name in ("readings_total", "score", "threshold", "last_reading_timestamp_seconds"):
        field = {"readings_total": "readings", "last_reading_timestamp_seconds": "last_reading"}.get(name, name)
        wanted = {("pump", each.name): getattr(each, field) for each in machines if getattr(each, field) is not None}
        assert samples(text, f"anomalite_{name}") == wanted, name
    assert samples(text, "anomalite_machine_state") == {("pump", each.name, each.state): 1 for each in machines}
    numbers = samples(text, "anomalite_machines")
    assert numbers == {("pump", state): sum(each.state == state for each in machines) for state in MACHINE_STATES}
    info = samples(text, "anomalite_bundle_info")
    assert info == {("pump", made_status.DIGEST, "numpy", "lstm_autoencoder", "numpy"): 1}
    assert next(iter(samples(text, "anomalite_build_info")))[-1] == "0.1.0"


def test_a_machine_s_first_alert_is_an_increase(busy):
    """A series that begins at 1 has no increase in Prometheus, so each machine has one that begins at 0."""
    alerts = samples(exposition(*busy), "anomalite_alerts_total")
    assert alerts["raised", "pump 12"] == 0
    assert alerts["raised", "press 3"] == alerts["raised", "press 12"] == alerts["acknowledged", "press 12"] == 1


def test_histograms_are_cumulative(busy):
    """Each bucket holds those below it, the last one all, and there is one for every stage."""
    text = exposition(*busy)
    buckets = samples(text, "anomalite_stage_duration_seconds_bucket")
    assert {stage for _, stage in buckets} == set(STAGES)
    assert [buckets[str(bound), "score"] for bound in STAGE_BOUNDS] == [bound >= 0.0003 for bound in STAGE_BOUNDS]
    assert buckets["+Inf", "score"] == samples(text, "anomalite_stage_duration_seconds_count")[("score",)] == 1
    assert samples(text, "anomalite_stage_duration_seconds_sum")[("score",)] == 0.0003
    latency = samples(text, "anomalite_alert_latency_seconds_bucket")
    assert [latency[(str(bound),)] for bound in LATENCY_BOUNDS] == [bound >= 0.02 for bound in LATENCY_BOUNDS]


def test_an_observation_belongs_to_the_first_bucket_that_reaches_it():
    """On the bounds, between and beyond them, and before zero; a bound belongs to its own bucket."""
    rng = np.random.default_rng(1)
    seconds = np.concatenate((STAGE_BOUNDS, rng.exponential(0.1, 200), [0.0, -1.0, 1e6]))
    one = Histogram(STAGE_BOUNDS)
    for each in seconds.tolist():
        one.observe(each)
    edges = (-np.inf, *STAGE_BOUNDS, np.inf)
    clipped = np.maximum(seconds, 0)
    assert one.sum == pytest.approx(clipped.sum())
    assert one.counts == [int(((clipped > low) & (clipped <= high)).sum()) for low, high in itertools.pairwise(edges)]


def test_hostile_names_come_back_as_they_were():
    """Quotes, backslashes, line ends, half a surrogate pair: no name breaks the page, and each is a label's value."""
    names = (*made_status.HOSTILE, 'a"b\\c\nd', "\\n", "half \ud83d pair")
    status = made_status.plant(1)._replace(
        machines=tuple(made_status.machine(name, "alarm", bundle=name) for name in names),
        bundles=tuple(made_status.plant(1).bundles[0]._replace(name=name) for name in names),
    )
    metrics, seen = Metrics(), Seen()
    seen.publish(status)
    for name in names:
        metrics.count_alert(name, "raised")
        metrics.count_verdicts(name, np.zeros(1, np.uint8))
    text = exposition(metrics, seen)
    shown = {name.replace("\ud83d", "?") for name in names}
    assert {machine for _, machine in samples(text, "anomalite_score")} == shown
    assert {machine for _, machine in samples(text, "anomalite_alerts_total")} >= shown
    assert {bundle for bundle, _ in samples(text, "anomalite_verdicts_total")} == shown


def test_before_the_first_status_there_are_metrics():
    """The counters, and that the gateway is not healthy yet."""
    text = exposition(Metrics(), Seen())
    assert samples(text, "anomalite_healthy")[()] == 0
    assert samples(text, "anomalite_messages_total")[()] == 0
    assert "anomalite_score" not in text


def test_without_a_broker_none_is_disconnected():
    """A gateway that reads lines only has no metric of a broker, which would be taken for one that is away."""
    seen = Seen()
    seen.publish(made_status.plant(1)._replace(broker=None, is_connected=False))
    text = exposition(Metrics(), seen)
    assert "anomalite_mqtt" not in text
    assert samples(text, "anomalite_healthy")[()] == 1


def test_scrapes_do_not_disturb_the_counting_thread():
    """While machines raise their first alerts and bundles their first verdicts, every scrape is whole and counts never go down."""
    from edge_runtime.gateway.exposition import Exposition

    metrics, seen = Metrics(), Seen()
    seen.publish(made_status.plant(3))
    page = Exposition(metrics, seen)
    is_over = threading.Event()

    def count():
        number = 0
        while not is_over.is_set():
            metrics.count_alert(f"machine {number % 1000}", "raised")
            metrics.count_verdicts(f"bundle {number % 20}", np.zeros(3, np.uint8))
            metrics.refuse(f"reason {number % 20}")
            metrics.stages["score"].observe(0.001)
            number += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = 0.0
    try:
        for _ in range(5):
            text = page.text().decode()
            now = sum(samples(text, "anomalite_alerts_total").values())
            assert now >= before
            before = now
    finally:
        is_over.set()
        thread.join()
    assert before > 0


def test_the_totals_of_the_status_are_what_was_counted(busy):
    """Only what happened is there, so that the page need not hide zeros."""
    totals = busy[0].totals()
    assert totals["refused"] == {"json": 2}
    assert totals["verdicts"] == {"pump": {"scored": 3, "warming_up": 1, "sensor_fault": 1, "collecting": 1}}
    assert totals["alerts"] == 2


def test_without_prometheus_client_the_extra_is_named(monkeypatch):
    """One line that says what to install."""
    from edge_runtime.gateway.exposition import Exposition

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ExtraMissingError, match=r"anomalite\[gateway\]"):
        Exposition(Metrics(), Seen())
