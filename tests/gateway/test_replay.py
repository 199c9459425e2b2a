"""An alert computed again from what was stored with it: the same to the bit, whatever happened to the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import handmade
import numpy as np
import pytest
from gateway.inside import START, Bench

from edge_runtime.bundle import Bundle
from edge_runtime.cli import main
from edge_runtime.detector import Detector
from edge_runtime.errors import EngineError, StoreError
from edge_runtime.gateway.evidence import Evidence
from edge_runtime.gateway.replay import open_bundle, read_evidence, replay
from edge_runtime.manifest import AlarmPolicy, Cleaning, Derived, Grid, Manifest, Sampling, Scaling, Score

GROUP = """
[[groups]]
bundle = "pump.anomalite"
topic = "plant/{machine}/readings"
machines = ["a", "b", "c"]
[groups.payload]
many = "$"
time = "ts"
"""
TOPIC = "plant/{}/readings"
MANIFESTS = {
    "plain": handmade.manifest(4, 2),
    "smoothed": handmade.manifest(4, 2, score=Score("mse", None, 0.3), threshold=handmade.THRESHOLDS["spot"]),
    "grid": handmade.manifest(4, 2, sampling=Sampling(2.0, 6.0, Grid("mean", 1.0))),
    "derived": handmade.manifest(
        4, 2, derived=(Derived("rolling_std", "c0", 3), Derived("rate", "c1")), alarm=AlarmPolicy(2, 3, cooldown_s=5.0),
        threshold=handmade.THRESHOLDS["moving_quantile"], cleaning=Cleaning(1), scaling=Scaling("standard", (0.0,) * 4, (1.0,) * 4),
    ),
}  # fmt: skip


def opened(folder: Path, m: Manifest = MANIFESTS["plain"], group: str = GROUP) -> Bench:
    """A folder with a bundle, and no gateway yet."""
    handmade.sealed(folder / "pump.anomalite", m, handmade.lstm_model(*m.window_shape, 32), golden=False)
    return Bench(folder, group)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One with the plain bundle."""
    bench = opened(tmp_path)
    yield bench
    if bench.gateway is not None:
        bench.gateway.stop()


def rows(seed: int, count: int, first: int = 0) -> list[dict[str, Any]]:
    """Readings a second apart: faults come and go, some values are missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (count, 2)) + 5 * (np.arange(count)[:, None] % 17 > 11)
    values[rng.random(values.shape) < 0.03] = np.nan
    return [
        {"ts": START + first + row, **{f"c{i}": None if x != x else x for i, x in enumerate(each)}}
        for row, each in enumerate(values.tolist())
    ]


def proves(bench: Bench) -> int:
    """Every alert that was raised is computed again, by what the broker was told; returns how many."""
    raised = [alert for alert in bench.broker.alerts() if alert["kind"] == "raised"]
    for alert in raised:
        evidence = read_evidence(str(bench.folder / "store"), alert["alert"])
        outcome = replay(evidence, open_bundle(evidence, None))
        assert (outcome.score, outcome.threshold) == (alert["score"], alert["threshold"])
        assert outcome.contributions == alert["contributions"]
        assert outcome.is_same
    return len(raised)


@pytest.mark.parametrize("kind", MANIFESTS)
@pytest.mark.parametrize("seed", range(3))
def test_every_alert_is_the_same(tmp_path: Path, kind: str, seed: int) -> None:
    """One reading a message or many, ticks of any size, crashes in between, the wall clock set: read while the gateway runs."""
    bench, random = opened(tmp_path, MANIFESTS[kind]), Random(seed)
    bench.start()
    streams = {name: rows(seed * 10 + number, 150) for number, name in enumerate("abc")}
    while any(streams.values()):
        for name, stream in streams.items():
            count = random.choice([0, 1, 1, 2, 30])
            if stream[:count]:
                bench.broker.send(TOPIC.format(name), stream[:count])
                del stream[:count]
        if random.random() < 0.6:
            bench.tick()
            bench.clock.go(1.0)
        if random.random() < 0.05:
            bench.crash()
            bench.start()
    for _ in range(4):
        bench.tick()
        bench.clock.go(1.1)
    assert proves(bench) >= 3
    assert bench.gateway is not None
    bench.gateway.stop()


def test_readings_that_are_stamped_on_arrival(tmp_path: Path) -> None:
    """The clock is set again and again, and all remembered times with it: what is stored still leads to the alert."""
    bench = opened(tmp_path, group=GROUP.replace('time = "ts"\n', ""))
    bench.start()
    for number, row in enumerate(rows(4, 150)):
        del row["ts"]
        bench.feed(TOPIC.format("a"), [[row]])
        if number % 13 == 12:
            bench.clock.set(3600.5 * (-1) ** number)
        if number % 37 == 36:
            bench.crash()
            bench.start()
    assert proves(bench) >= 3


def test_an_engine_that_failed_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Smoothing begins anew after it, which the readings alone would not tell; the alert after it is computed again all the same."""
    bench = opened(tmp_path, MANIFESTS["smoothed"])
    gateway = bench.start()
    bench.feed(TOPIC.format("a"), [[row] for row in rows(1, 40)])
    update_many = Detector.update_many

    def broken(self: Detector, *readings: Any) -> Any:
        update_many(self, *readings)
        raise EngineError("numpy: out of order")

    with monkeypatch.context() as patch:
        patch.setattr(Detector, "update_many", broken)
        bench.feed(TOPIC.format("a"), [[row] for row in rows(2, 3, first=40)])
    assert "engine of handmade" in str(gateway.problems) or bench.logged
    bench.feed(TOPIC.format("a"), [[row] for row in rows(3, 40, first=43)])
    assert proves(bench) >= 3
    bench.crash()
    bench.start()
    bench.feed(TOPIC.format("a"), [[row] for row in rows(3, 40, first=83)])
    assert proves(bench) >= 4
    assert bench.gateway is not None
    bench.gateway.stop()


@pytest.fixture
def alert(bench: Bench) -> dict[str, Any]:
    """The first alert of a gateway that is running."""
    bench.start()
    bench.feed(TOPIC.format("a"), [[row] for row in rows(1, 60)])
    return next(alert for alert in bench.broker.alerts() if alert["kind"] == "raised")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The command's status, output and errors."""
    status = main(["replay", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_says_what_and_how_it_ends(
    bench: Bench, alert: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Readings, numbers then and now, and a last line; status 0."""
    status, out, err = run(capsys, alert["alert"], "--store", bench.folder / "store")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"alert {alert['alert']} of a, raised 2026-")
    assert "numpy-float32 on numpy" in lines[1]
    assert lines[-1] == "the same to the bit"
    (score,) = (line.split() for line in lines if line.startswith("score"))
    assert score == ["score", repr(alert["score"]), repr(alert["score"])]
    assert sum(line.startswith("2026-") for line in lines) == 4  # the window's
    time = lines[0].split("raised ")[1]
    assert any(line.startswith(time) for line in lines[1:])


def test_the_command_as_json_by_the_configuration(
    bench: Bench, alert: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """One object, with null for what was missing; the store is found by the configuration."""
    config = bench.folder / "gateway.toml"
    config.write_text(f'name = "hall"\n[mqtt]\n[storage]\nfolder = "store"\n{GROUP}')
    status, out, _ = run(capsys, alert["alert"], "--config", config, "--json")
    said = json.loads(out)
    assert (status, said["same"], said["alert"]) == (0, True, alert["alert"])
    assert said["now"]["score"] == said["then"]["score"] == alert["score"]
    assert said["now"]["contributions"] == alert["contributions"]
    assert len(said["readings"]) == 4
    assert said["readings"][-1]["time"] == alert["time"]


def altered(evidence: Evidence, what: str) -> Evidence:
    """With one number that differs in its last bit."""
    if what == "contributions":
        name = next(iter(evidence.contributions))
        shares = {**evidence.contributions, name: np.nextafter(evidence.contributions[name], 9.0).item()}
        return evidence._replace(contributions=shares)
    return evidence._replace(**{what: np.nextafter(getattr(evidence, what), 9.0).item()})


@pytest.mark.parametrize("what", ["score", "threshold", "contributions"])
def test_a_difference_is_told(
    bench: Bench,
    alert: dict[str, Any],
    what: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the last bit of any number: status 1, and what may be the reason."""
    import edge_runtime.commands.replay as command

    monkeypatch.setattr(command, "read_evidence", lambda *where: altered(read_evidence(*where), what))
    status, out, _ = run(capsys, alert["alert"], "--store", bench.folder / "store")
    assert status == 1
    assert out.splitlines()[-1].startswith(
        "DIFFERENT: another version of the engine or of numpy, or another kind of CPU"
    )


def test_readings_that_raise_nothing_any_more(bench: Bench, alert: dict[str, Any]) -> None:
    """Another reading in the window: different, with or without a score."""
    evidence = read_evidence(str(bench.folder / "store"), alert["alert"])
    bundle = Bundle.read(evidence.bundle)
    values = evidence.past.values.copy()
    values[-2, 0] += 1e-3
    assert not replay(evidence._replace(past=evidence.past._replace(values=values)), bundle).is_same
    values[-1] = 1e300, np.inf
    outcome = replay(evidence._replace(past=evidence.past._replace(values=values)), bundle)
    assert (outcome.score, outcome.is_same) == (None, False)
    json.dumps(outcome.to_json(), allow_nan=False)
    nothing = evidence.past._replace(times=evidence.past.times[:0], values=values[:0])
    assert not replay(evidence._replace(past=nothing), bundle).is_same


def test_what_cannot_be_computed_again(
    bench: Bench, alert: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No store, no alert, another bundle, none, an engine that it is not for: status 2 and one line."""
    store = bench.folder / "store"
    other = handmade.sealed(tmp_path / "other.anomalite", handmade.manifest(4, 2), golden=False)
    for arguments, message in (
        ((alert["alert"], "--store", tmp_path / "nowhere"), "expected the database of a gateway, found no such file"),
        (("0123", "--store", store), "expected the id of an alert that is stored there, got '0123'"),
        ((alert["alert"], "--store", store, "--bundle", other), "expected the bundle that raised the alert, digest"),
        ((alert["alert"], "--store", store, "--bundle", tmp_path / "none"), "cannot be read: No such file"),
        ((alert["alert"], "--store", store, "--engine", "onnx"), "expected a variant for onnx"),
        ((alert["alert"], "--store", store, "--variant", "x"), "expected one of the variants numpy-float32, got 'x'"),
    ):
        status, out, err = run(capsys, *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err
    moved = (bench.folder / "pump.anomalite").rename(tmp_path / "moved.anomalite")
    assert "pump.anomalite: cannot be read" in run(capsys, alert["alert"], "--store", store)[2]
    assert run(capsys, alert["alert"], "--store", store, "--bundle", moved)[0] == 0
    with pytest.raises(SystemExit):
        main(["replay", alert["alert"]])


def test_evidence_that_is_gone(bench: Bench, alert: dict[str, Any]) -> None:
    """Deleted for want of room: it says so."""
    assert bench.gateway is not None
    bench.gateway.parts.store._connection().execute("DELETE FROM evidence")
    with pytest.raises(StoreError, match="are not stored"):
        read_evidence(str(bench.folder / "store"), alert["alert"])
