"""What a detector's verdicts on a run to failure are worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from edge_runtime.readings import ACTIVE, RAISED, Moment, Verdicts, from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """The alarm that stayed, and those that should not have been."""

    alarm_time: datetime | None
    """When the alarm was raised that is still active at the end of the table, UTC; None if there is none."""
    lead_hours: float | None
    """From then to the failure."""
    false_alarms: int
    """How many alarms were raised while the machine was still normal."""


def alarm_report(verdicts: Verdicts, failure_time: Moment, normal_until: Moment) -> AlarmReport:
    """Judge the alarms of one machine's verdicts, in order of time.

    Alarms raised before `normal_until` are false; naive times are read as UTC. Causal: an alarm counts from the verdict that
    raised it, never from a reading before.
    """
    times = verdicts.times.astype("datetime64[us]").astype(np.int64)
    raised = times[verdicts.alarm_codes == RAISED]
    false_alarms = int(np.count_nonzero(raised < to_microseconds(normal_until)))
    if not len(raised) or verdicts.alarm_codes[-1] not in (RAISED, ACTIVE):
        return AlarmReport(None, None, false_alarms)
    lead_hours = (to_microseconds(failure_time) - int(raised[-1])) / 3.6e9
    return AlarmReport(from_microseconds(int(raised[-1])), lead_hours, false_alarms)
