"""The operating state: on, off, settling, unknown; test_oracle.py has the rest."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime import Reading
from edge_runtime.commands.inspect import describe
from edge_runtime.manifest import Channel, Cleaning, Operating, Scaling
from edge_runtime.prepare import Preparation
from edge_runtime.readings import STATUSES

NAN = math.nan


def statuses(
    rule: Operating, c0: list[float], *, hold_limit: int = 1, seconds: Any = None, **changes: Any
) -> list[str]:
    """The answers to a stream whose first channel is `c0`, a reading a second, with windows of two readings."""
    m = handmade.manifest(2, 2, operating=rule, cleaning=Cleaning(hold_limit), **changes)
    prepare = Preparation(m.preparation)
    times = range(len(c0)) if seconds is None else seconds
    rows = zip(c0, times, strict=True)
    return [STATUSES[prepare.step(0, [value, 1.0], round(time * handmade.SECOND))[0]] for value, time in rows]


def test_outside_the_state_readings_are_off() -> None:
    """They do not enter the window, which starts again when the machine comes back."""
    assert statuses(Operating("c0 > 0.5"), [0.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0]) == [
        "off", "warming_up", "scored", "scored", "off", "warming_up", "scored",
    ]  # fmt: skip


def test_two_levels() -> None:
    """Between them the state stays as it was; at first it is off; where both rules hold it is off."""
    rule = Operating("c0 > 0.5", "c0 < 0.4")
    assert statuses(rule, [0.45, 0.6, 0.45, 0.45, 0.39, 0.45, 0.6]) == [
        "off", "warming_up", "scored", "scored", "off", "off", "warming_up",
    ]  # fmt: skip
    assert set(statuses(Operating("c0 > 0.5", "c1 > 0.5"), [1.0] * 4)) == {"off"}


def test_the_machine_settles() -> None:
    """For `settle_s` after switching on it is off still; a stream that begins with it on settles too."""
    rule = Operating("c0 > 0.5", settle_s=2.0)
    assert statuses(rule, [1.0] * 4 + [0.0] + [1.0] * 4) == [
        "off", "off", "warming_up", "scored", "off", "off", "off", "warming_up", "scored",
    ]  # fmt: skip


def test_after_a_gap_it_settles_again() -> None:
    """Nobody saw whether it was on all the time; a silence of the longest gap is none yet."""
    rule = Operating("c0 > 0.5", settle_s=1.0)
    assert statuses(rule, [1.0] * 7, seconds=[0, 1, 2, 5, 8.000001, 9, 10]) == [
        "off", "warming_up", "scored", "scored", "off", "off", "warming_up",
    ]  # fmt: skip
    without_settling = Operating("c0 > 0.5", "c0 < 0")
    assert statuses(without_settling, [1.0, 1.0, 0.3, 0.3], seconds=[0, 1, 9, 10])[2:] == ["off", "off"]


def test_a_missing_value_keeps_the_state_for_a_while() -> None:
    """For `hold_limit` readings; then nothing is known: the reading is a gap, neither off nor scored."""
    rule = Operating("c0 > 0.5")
    assert statuses(rule, [0.0, NAN, NAN, NAN, 1.0, 1.0, NAN, NAN, 1.0], hold_limit=2) == [
        "off", "off", "off", "gap", "warming_up", "scored", "scored", "scored", "scored",
    ]  # fmt: skip
    assert statuses(Operating("c0 > 0.5", settle_s=1), [1.0, 1.0, 1.0, NAN, NAN, 1.0, 1.0]) == [
        "off", "warming_up", "scored", "scored", "gap", "off", "warming_up",
    ]  # fmt: skip


def test_an_impossible_value_says_nothing_of_the_state() -> None:
    """It is as good as missing; unknown for too long it is still called out of range."""
    channels = (Channel("c0", "", -10.0, 10.0), Channel("c1"))
    assert statuses(Operating("c0 > 0.5"), [1.0, 1.0, 99.0, math.inf, 1.0], channels=channels) == [
        "warming_up", "scored", "out_of_range", "out_of_range", "warming_up",
    ]  # fmt: skip
    assert statuses(Operating("c0 < 0.5"), [1.0, 99.0, 1.0], channels=channels) == ["off", "off", "off"]


def test_a_late_reading_does_not_switch() -> None:
    """It changes nothing, and is a gap as ever, on or off."""
    rule = Operating("c0 > 0.5")
    assert statuses(rule, [1.0, 1.0, 0.0, 1.0], seconds=[0, 1, 1, 2]) == ["warming_up", "scored", "gap", "scored"]
    assert statuses(rule, [0.0, 1.0, 0.0], seconds=[5, 4, 6]) == ["off", "gap", "off"]


def test_off_hides_what_other_channels_do() -> None:
    """A switched-off machine may send nothing or nonsense; the state is known all the same."""
    m = handmade.manifest(2, 2, operating=Operating("c0 > 0.5"), cleaning=Cleaning(0))
    prepare = Preparation(m.preparation)
    answers = [
        STATUSES[prepare.step(0, [0.0, value], second * handmade.SECOND)[0]]
        for second, value in enumerate([NAN, 1e300, math.inf, 1.0])
    ]
    assert answers == ["off"] * 4


def test_reset_forgets_the_state() -> None:
    """The machine is as new, and settles."""
    m = handmade.manifest(2, 2, operating=Operating("c0 > 0.5", "c0 < 0.4", 1.0))
    prepare = Preparation(m.preparation, 2)
    for machine in (0, 1):
        for second in range(3):
            prepare.step(machine, [1.0, 1.0], second * handmade.SECOND)
    prepare.reset(0)
    assert STATUSES[prepare.step(0, [1.0, 1.0], 3 * handmade.SECOND)[0]] == "off"
    assert STATUSES[prepare.step(1, [1.0, 1.0], 3 * handmade.SECOND)[0]] == "scored"


def test_the_alarm_survives_a_pause_and_forgets_its_scores() -> None:
    """As with every restart of the window: a raised alarm stays, the scores before the pause do not count any more."""
    m = handmade.manifest(4, 2, operating=Operating("c1 > -10"))
    m = replace(m, threshold=replace(m.threshold, value=1e-9))
    detector = handmade.Detector(m, handmade.open_engine("numpy", handmade.lstm_model(4, 2), (4, 2)))
    values, times = handmade.stream(12, 2)
    values[6, 1] = -11
    moments = handmade.moments(times)
    alarms = [detector.update(Reading(moments[row], values[row])).alarm for row in range(12)]
    assert alarms == ["quiet"] * 3 + ["raised"] + ["active"] * 8
    assert [verdict.alarm for verdict in detector.score(values, moments)] == alarms


def test_usable_values_are_those_in_the_state() -> None:
    """What scaling is fitted to: not off, not settling, not missing, not impossible, and nothing that was held."""
    m = handmade.manifest(
        2, 2, channels=(Channel("c0"), Channel("c1", "", -5.0, 5.0)), operating=Operating("c0 > 0.5", settle_s=1.0)
    )
    values = np.array([[0, 1], [1, 1], [1, 2], [1, 9], [1, NAN], [NAN, 3], [0, 4], [1, 1]], np.float64)
    times = handmade.stream(8, 2)[1]
    expected = np.full((8, 2), NAN)
    expected[2], expected[3, 0], expected[4, 0], expected[5, 1] = [1, 2], 1, 1, 3
    usable, in_state = Preparation(m.preparation).usable(values, times)
    np.testing.assert_array_equal(usable, expected)
    assert in_state.tolist() == [False, False, True, True, True, True, False, False]
    always, in_state = Preparation(replace(m, operating=None).preparation).usable(values, times)
    assert in_state.all()
    np.testing.assert_array_equal(always, np.where(values == 9, NAN, values))


def test_inspect_says_when_the_machine_is_known() -> None:
    """One line, with the rule as it was written."""
    plain = describe(handmade.manifest())
    assert "operating state  always the known one" in plain
    rule = Operating("c0 > 0.5", "c0 < 0.4", 30.0)
    text = "\n".join(describe(handmade.manifest(operating=rule)))
    assert "when c0 > 0.5 until c0 < 0.4, 30 s after switching on; else readings are off" in text


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (("current > 0.5",), r"operating.when: unknown channel 'current', known: c0, c1"),
        (("c0 > 0.5", "d < 1 or c1 > 2"), r"operating.until: unknown channel 'd', known: c0, c1"),
    ],
)
def test_a_rule_that_names_no_channel_is_refused(rule: tuple[str, ...], message: str) -> None:
    """With the channels there are."""
    with pytest.raises(ValueError, match=message):
        handmade.manifest(4, 2, operating=Operating(*rule))


def test_scaling_does_not_change_the_rule() -> None:
    """The rule is in the channels' units, whatever the scaling."""
    scaling = Scaling("standard", (100.0, 0.0), (50.0, 1.0))
    assert statuses(Operating("c0 > 90"), [100.0, 80.0], scaling=scaling) == ["warming_up", "off"]
