"""The alarm report counts from the verdict that raised the alarm that stayed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge_runtime.readings import ACTIVE, CLEARED, QUIET, RAISED, Verdicts
from training.evaluate import AlarmReport, alarm_report

START = datetime(2024, 1, 1, tzinfo=UTC)


def hour(number):
    return START + timedelta(hours=number)


def make_verdicts(*alarm_codes):
    """Verdicts an hour apart."""
    verdicts = Verdicts(len(alarm_codes), ("flow",), one_machine=True)
    verdicts.times[:] = np.datetime64("2024-01-01") + np.arange(len(alarm_codes)) * np.timedelta64(1, "h")
    verdicts.alarm_codes[:] = alarm_codes
    return verdicts


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((QUIET,) * 6, AlarmReport(None, None, 0)),
        ((QUIET, QUIET, QUIET, RAISED, ACTIVE, ACTIVE), AlarmReport(hour(3), 2.0, 0)),
        ((QUIET, QUIET, QUIET, QUIET, QUIET, RAISED), AlarmReport(hour(5), 0.0, 0)),
        ((RAISED, CLEARED, QUIET, QUIET, RAISED, ACTIVE), AlarmReport(hour(4), 1.0, 1)),
        ((QUIET, QUIET, RAISED, ACTIVE, CLEARED, QUIET), AlarmReport(None, None, 0)),
        ((RAISED, ACTIVE, ACTIVE, ACTIVE, ACTIVE, ACTIVE), AlarmReport(hour(0), 5.0, 1)),
    ],
    ids=["none", "stays", "raised by the last", "false, then stays", "cleared", "raised too early"],
)
def test_alarm_report(codes, expected):
    """Lead time counts to the alarm still active at the end; alarms before `normal_until` are false."""
    assert alarm_report(make_verdicts(*codes), failure_time=hour(5), normal_until=hour(2)) == expected


def test_an_empty_table_has_no_alarm():
    """No verdicts, no alarm."""
    assert alarm_report(make_verdicts(), hour(5), hour(2)) == AlarmReport(None, None, 0)
