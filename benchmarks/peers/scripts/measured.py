"""What a peer's script ends with: the first score is printed at once, then calls are timed; the last line is JSON.

Runs in the peer's environment, in the folder of the models, and imports nothing but numpy and the standard library.
"""

import json
import re
import time
from itertools import islice
from pathlib import Path

import numpy as np

LENGTH = 32
UNTIMED = 20
CALLS = (100, 5_000)
"""At least and at most so many."""
SECONDS = 1.0
"""The timed calls of one process last so long, within `CALLS`."""
COMPARED = 16
"""Windows whose reconstruction is compared with the one handed over."""


def measure(score, *, takes="window", reconstruct=None):
    """Print the first score, then time `score` and print what was found.

    `takes`: "window", an array (1, T, C) float32, or "reading", seconds and C numbers; the windows are those that end with each
    reading. `reconstruct`: the model's answer (1, T, C) to a window, where it has the weights handed over.
    """
    readings = np.load("readings.npy")
    arguments = _readings(readings) if takes == "reading" else _windows(readings)
    first = None
    while first is None:  # a window must fill first
        first = score(*next(arguments))
    print(float(np.mean(first)), flush=True)

    taken = _time(score, arguments)
    result = {
        "us_p50": float(np.percentile(taken, 50)) / 1e3,
        "us_p99": float(np.percentile(taken, 99)) / 1e3,
        "calls": len(taken),
        "peak_mb": _peak_mb(),
    }
    if reconstruct is not None:
        answers = np.concatenate([np.array(reconstruct(window)) for (window,) in islice(_windows(readings), COMPARED)])
        result["off_by"] = float(np.abs(answers - np.load("reconstruction.npy")).max())
    print(json.dumps(result), flush=True)


def _windows(readings):
    """One after the other, as they would come: made between the timed calls."""
    values = readings.astype(np.float32)
    for end in range(LENGTH, len(values) + 1):
        yield (values[None, end - LENGTH : end].copy(),)


def _readings(readings):
    for second, values in enumerate(readings):
        yield float(second), tuple(values.tolist())


def _time(score, arguments):
    """Nanoseconds of each call."""
    least, most = CALLS
    ends, taken, clock = None, [], time.perf_counter_ns
    for each in islice(arguments, UNTIMED):
        score(*each)
    for each in islice(arguments, most):
        start = clock()
        score(*each)
        end = clock()
        ends = ends or end + int(SECONDS * 1e9)
        taken.append(end - start)
        if len(taken) >= least and end > ends:
            break
    return taken


def _peak_mb():
    """The most memory this process has held. The kernel's count for the program alone: `ru_maxrss` counts what its parent held too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
