"""Stuck and saturated sensors; silent ones are in test_clean.py, and test_oracle.py has the rest."""

from __future__ import annotations

import json
import math
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime import Reading
from edge_runtime.commands.inspect import describe
from edge_runtime.commands.score import main as score
from edge_runtime.manifest import Channel, Cleaning, Manifest, Operating, Sensors
from edge_runtime.prepare import Preparation
from edge_runtime.readings import STATUSES

NAN = math.nan


def manifest(hold_limit: int = 2, operating: Operating | None = None, **limits: Any) -> Manifest:
    """Windows of two readings of two channels, the first with limits for its sensor."""
    return handmade.manifest(
        2, 2, channels=(Channel("a", **limits), Channel("b")), cleaning=Cleaning(hold_limit), operating=operating
    )


def statuses(m: Manifest, values: list[float], seconds: Any = None) -> list[str]:
    """The answers to a stream whose first channel is `values`, a reading a second."""
    prepare = Preparation(m.preparation)
    times = range(len(values)) if seconds is None else seconds
    rows = zip(values, times, strict=True)
    return [STATUSES[prepare.step(0, [value, second % 7.0], second * handmade.SECOND)[0]] for value, second in rows]


def test_a_stuck_sensor() -> None:
    """From the reading that says the same for the third time; a change ends it, and the window starts again."""
    assert statuses(manifest(stuck_after=3), [1.0, 1.0, 1.0, 1.0, 1.5, 1.5, 2.0]) == [
        "warming_up", "scored", "sensor_fault", "sensor_fault", "warming_up", "scored", "scored",
    ]  # fmt: skip


def test_exactly_the_same_value_is_meant() -> None:
    """The smallest change is one."""
    values = [1.0, math.nextafter(1.0, 2)] * 4
    assert "sensor_fault" not in statuses(manifest(stuck_after=2), values)


def test_a_missing_value_neither_proves_nor_ends_a_fault() -> None:
    """The counts stand still."""
    assert statuses(manifest(stuck_after=3), [1.0, 1.0, NAN, NAN, 1.0, NAN, 2.0])[1:] == [
        "scored", "scored", "scored", "sensor_fault", "sensor_fault", "warming_up",
    ]  # fmt: skip


def test_a_saturated_sensor() -> None:
    """At a rail or beyond it for `saturated_after` readings, though the value moves."""
    m = manifest(rail_low=0.0, rail_high=4.0, saturated_after=2)
    assert statuses(m, [4.0, 4.5, 5.0, 3.9, 0.0, 4.0, 2.0, -1.0, 1.0]) == [
        "warming_up", "sensor_fault", "sensor_fault", "warming_up", "scored", "sensor_fault", "warming_up", "scored", "scored",
    ]  # fmt: skip
    one_sided = manifest(rail_high=4.0, saturated_after=1)
    assert statuses(one_sided, [4.0, -1e9, 1e9])[::2] == ["sensor_fault"] * 2
    assert statuses(one_sided, [-1e9, -1e9]) == ["warming_up", "scored"]


def test_impossible_values_count() -> None:
    """A sensor stuck outside its range is at fault, no longer just out of range."""
    assert statuses(manifest(high=10.0, stuck_after=2, hold_limit=9), [1.0, 99.0, 99.0, math.inf, math.inf, 1.0]) == [
        "warming_up", "out_of_range", "sensor_fault", "out_of_range", "sensor_fault", "warming_up",
    ]  # fmt: skip


def test_late_readings_do_not_count() -> None:
    """They change nothing."""
    m = manifest(stuck_after=3)
    assert statuses(m, [1.0, 1.0, 1.0, 2.0, 1.0], [0, 1, 1, 1, 2])[1:] == ["scored", "gap", "gap", "sensor_fault"]


def test_a_machine_that_is_off_may_stand_still() -> None:
    """Counting begins when it is in its state, and a settling machine is not yet."""
    m = manifest(operating=Operating("a > 0", settle_s=1.0), stuck_after=3)
    assert statuses(m, [0.0] * 5 + [1.0] * 5) == ["off"] * 6 + ["warming_up", "scored", "sensor_fault", "sensor_fault"]


def test_a_gap_keeps_what_was_counted_and_a_reset_does_not() -> None:
    """The same value before and after a silence is still the same value."""
    m = manifest(stuck_after=3)
    assert statuses(m, [1.0, 1.0, 1.0], [0, 1, 60])[2] == "sensor_fault"
    prepare = Preparation(m.preparation)
    for second in range(3):
        assert STATUSES[prepare.step(0, [1.0, second], second * handmade.SECOND)[0]] != "sensor_fault" or second == 2
    prepare.reset(0)
    assert STATUSES[prepare.step(0, [1.0, 0.0], 3 * handmade.SECOND)[0]] == "warming_up"


def test_which_channels_need_watching() -> None:
    """Only those with a limit, so that the others cost nothing."""
    assert not Channel("a", low=0.0, high=1.0, max_rate=1.0).is_watched
    assert all(
        Channel("a", **limit).is_watched for limit in ({"stuck_after": 9}, {"rail_low": 0.0}, {"rail_high": 9.0})
    )


def test_the_verdict_names_the_channels() -> None:
    """All that are at fault, silent or stuck, and only where the status says so; however the readings came."""
    m = handmade.manifest(
        4,
        2,
        channels=(Channel("a", stuck_after=3), Channel("b", stuck_after=2)),
        cleaning=Cleaning(1),
        sensors=Sensors(),
    )
    values, times = handmade.stream(12, 2)
    values[3:6, 0] = 1.0
    values[8:11, 1] = NAN
    values[10, 0] = values[9, 0] = values[8, 0]
    moments = handmade.moments(times)
    detectors = [
        handmade.Detector(m, handmade.open_engine("numpy", handmade.lstm_model(4, 2), (4, 2)), machines=n)
        for n in (1, 2)
    ]
    table = detectors[0].score(values, moments)
    faults = {row: verdict.fault_channels for row, verdict in enumerate(table) if verdict.status == "sensor_fault"}
    assert faults == {5: ("a",), 9: ("b",), 10: ("a", "b")}
    assert all(verdict.fault_channels == () for verdict in table if verdict.status != "sensor_fault")
    assert np.argwhere(table.faults).tolist() == [[5, 0], [9, 1], [10, 0], [10, 1]]
    assert table.sensors == ("a", "b")
    assert json.loads(json.dumps(table[10].to_json()))["fault_channels"] == ["a", "b"]
    stream = [detectors[0].update(Reading(moments[row], values[row])) for row in range(12)]
    assert [verdict.fault_channels for verdict in stream] == [verdict.fault_channels for verdict in table]
    for row in range(12):
        many = detectors[1].update_many([1, 0], np.array([values[row], [row, 2.5 * row]]), moments[row])
        assert [verdict.fault_channels for verdict in many] == [stream[row].fault_channels, ()]


def test_score_names_the_channel(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In the last column, where the channel with the largest share stands otherwise."""
    m = handmade.manifest(4, 2, channels=(Channel("a", stuck_after=3), Channel("b")))
    bundle = handmade.sealed(tmp_path / "pump.anomalite", m)
    table = tmp_path / "readings.csv"
    table.write_text("time,a,b\n" + "".join(f"{row},1.0,{row % 3}\n" for row in range(6)))
    assert score([str(bundle), str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:] for line in lines[3:7]] == [["sensor_fault", "-", "1", "-", "quiet", "a"]] * 4
    assert "6 readings: 2 warming_up, 4 sensor_fault" in lines
    assert "sensors at fault: a in 4 readings" in lines


def test_inspect_says_what_is_watched() -> None:
    """Each channel's limits on its line."""
    channels = (Channel("a", "bar", max_rate=0.5, stuck_after=30, rail_high=10.0), Channel("b", rail_low=0.0))
    text = "\n".join(describe(handmade.manifest(8, 2, channels=channels, sensors=Sensors())))
    assert "a (bar), at most 0.5 a second, stuck after 30 readings, saturated after 3 readings at 10" in text
    assert "b, saturated after 3 readings at 0" in text
    assert "silent sensors   a fault" in text
    assert "silent sensors   a gap" in "\n".join(describe(handmade.manifest()))
