"""k of n raise the alarm, n in a row clear it, a cooldown keeps it quiet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alarm import Alarm
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import ALARM_STATES

SECOND = 1_000_000


def states(policy: AlarmPolicy, scores: list[float], threshold: float = 1.0, period_s: float = 1.0) -> str:
    """The state after each score, as its first letter: q(uiet), r(aised), a(ctive), c(leared)."""
    alarm = Alarm(policy, threshold, 1)
    return "".join(
        ALARM_STATES[int(alarm.step(0, score, round(row * period_s * SECOND)))][0] for row, score in enumerate(scores)
    )


def levels(text: str) -> list[float]:
    """Scores: H above the enter level, L below the exit level, m between them."""
    return [{"H": 2.0, "L": 0.1, "m": 0.95}[letter] for letter in text]


@pytest.mark.parametrize(
    ("k", "n", "scores", "expected"),
    [
        (1, 1, "LHLHHL", "qrcrac"),
        (1, 1, "mHmmLm", "qraacq"),
        (2, 2, "HLHHLL", "qqqrac"),
        (2, 3, "HLHLLL", "qqraac"),
        (2, 3, "HLLHLLHH", "qqqqqqqr"),
        (3, 3, "HHLHHHLLHLLL", "qqqqqraaaaac"),
        (2, 3, "HHLLmLLLL", "qraaaaacq"),
        (1, 3, "HLLHLLL", "raaaaac"),
        (2, 5, "HmmmHLLLLLHmmmmH", "qqqqraaaacqqqqqq"),
    ],
)
def test_k_of_n_raise_and_n_in_a_row_clear(k: int, n: int, scores: str, expected: str) -> None:
    """Between the levels nothing is raised and nothing is cleared."""
    assert states(AlarmPolicy(k, n, 1.0, 0.9), levels(scores)) == expected


def test_the_levels_are_multiples_of_the_threshold() -> None:
    """Strictly above `enter` times it raises, strictly below `exit` times it clears."""
    policy = AlarmPolicy(1, 1, 2.0, 0.5)
    assert states(policy, [6.0, 6.1, 1.5, 1.4], threshold=3.0) == "qrac"


def test_the_cooldown_begins_when_the_alarm_is_cleared() -> None:
    """For so many seconds no new alarm; at its end one may be raised, by scores seen during it too."""
    assert states(AlarmPolicy(1, 1, 1.0, 0.9, 3.0), levels("HLHHHHL")) == "rcqqrac"
    assert states(AlarmPolicy(2, 2, 1.0, 0.9, 3.0), levels("HHLLHHHH")) == "qraCqqrA".lower()
    assert states(AlarmPolicy(1, 1, 1.0, 0.9, 0.0), levels("HLHL")) == "rcrc"


def test_a_restart_forgets_scores_but_not_the_alarm() -> None:
    """After a gap the count begins again; an active alarm stays until it is cleared."""
    alarm = Alarm(AlarmPolicy(2, 2, 1.0, 0.9), 1.0, 1)

    def step(letter: str) -> str:
        return ALARM_STATES[int(alarm.step(0, levels(letter)[0], 0))]

    assert step("H") == "quiet"
    alarm.restart(0)
    assert [step("H"), step("H")] == ["quiet", "raised"]
    assert step("L") == "active"
    alarm.restart(0)
    assert ALARM_STATES[int(alarm.state(0))] == "active"
    assert [step("L"), step("L")] == ["active", "cleared"]
    assert ALARM_STATES[int(alarm.state(0))] == "quiet"


def test_reset_forgets_everything() -> None:
    """A raised alarm and its cooldown too."""
    alarm = Alarm(AlarmPolicy(1, 1, 1.0, 0.9, 1e6), 1.0, 2)
    for machine in (0, 1):
        assert alarm.step(machine, 2.0, 0) == 1
    alarm.reset(0)
    assert (int(alarm.state(0)), int(alarm.state(1))) == (0, 2)
    assert alarm.step(1, 0.1, 1) == 3
    alarm.reset(1)
    assert alarm.step(1, 2.0, 2) == 1


@given(
    scores=st.lists(st.tuples(st.sampled_from([2.0, 0.1, 0.95]), st.sampled_from([0.25, 1.0, 8.0])), max_size=60),
    k=st.integers(1, 3),
    more=st.integers(0, 2),
)
def test_a_threshold_of_its_own_for_every_score(scores: list[tuple[float, float]], k: int, more: int) -> None:
    """Score and threshold, multiplied by the same number, are the same to the alarm; one machine or several."""
    policy = AlarmPolicy(k, k + more, 1.0, 0.9, 3.0)
    expected = states(policy, [score for score, _ in scores])
    alone, together = Alarm(policy, 123.0, 1), Alarm(policy, 123.0, 3)
    for row, (score, factor) in enumerate(scores):
        time = row * SECOND
        assert ALARM_STATES[int(alone.step(0, score * factor, time, factor))][0] == expected[row]
        factors = np.array([factor, 2 * factor])
        got = together.step(np.array([2, 0]), score * factors, np.full(2, time), factors)
        assert [ALARM_STATES[state][0] for state in got.tolist()] == [expected[row]] * 2


@given(data=st.data(), k=st.integers(1, 62), n=st.integers(1, 62))
def test_machines_together_are_machines_alone(data: st.DataObject, k: int, n: int) -> None:
    """A step of several machines at once is the same as one by one, for every window of scores a policy may have."""
    policy = AlarmPolicy(min(k, n), max(k, n) if k > n else n, 1.0, 0.9, data.draw(st.sampled_from([0.0, 2.0])))
    rounds = data.draw(
        st.lists(st.lists(st.sampled_from([2.0, 0.1, 0.95]), min_size=3, max_size=3), min_size=1, max_size=80)
    )
    together, alone = Alarm(policy, 1.0, 4), Alarm(policy, 1.0, 4)
    machines = np.array([2, 0, 3])
    for row, scores in enumerate(rounds):
        time = row * SECOND
        got = together.step(machines, np.array(scores), np.full(3, time))
        assert got.tolist() == [
            int(alone.step(int(machine), score, time)) for machine, score in zip(machines, scores, strict=True)
        ]
        if row % 7 == 3:
            together.restart(machines[:2])
            for machine in machines[:2]:
                alone.restart(int(machine))


@pytest.mark.parametrize("n", [1, 2, 61, 62])
def test_long_memories(n: int) -> None:
    """All n scores count, and none before them."""
    policy = AlarmPolicy(n, n, 1.0, 0.9)
    assert states(policy, [2.0] * n) == "q" * (n - 1) + "r"
    if n > 1:
        assert states(policy, [2.0] * (n - 1) + [0.95] + [2.0] * (n - 1)) == "q" * (2 * n - 1)


def test_only_a_score_above_the_enter_level_raises() -> None:
    """Not a normal one that comes when the cooldown ends, though the high ones are still among the last n."""
    alarm = Alarm(AlarmPolicy(k=1, n=3, cooldown_s=5.0), 1.0, machines=1)
    scores = [2.0, 0.1, 0.1, 0.1, 0.1, 2.0, 2.0, 0.1, 2.0]
    states = [ALARM_STATES[int(alarm.step(0, score, row * 1_000_000))] for row, score in enumerate(scores)]
    assert states == ["raised", "active", "active", "cleared", "quiet", "quiet", "quiet", "quiet", "raised"]
