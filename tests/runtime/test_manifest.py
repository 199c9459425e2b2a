"""The manifest's own rules, each with its message, and a round trip through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import handmade
import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.errors import SchemaError
from edge_runtime.manifest import (
    AlarmPolicy,
    Channel,
    Cleaning,
    Golden,
    Grid,
    Manifest,
    Operating,
    PercentileThreshold,
    Sampling,
    Scaling,
    Score,
    Sensors,
    Window,
)
from edge_runtime.schema import decode, encode


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (Channel, ("",), "expected a channel name, got an empty one"),
        (Channel, ("a", "", 1.0, 1.0), "expected low below high, got 1.0 and 1.0"),
        (Channel, ("a", "", 2.0, 1.0), "expected low below high, got 2.0 and 1.0"),
        (Channel, ("a", "", None, None, 0.0), "expected max_rate above zero, got 0"),
        (
            Channel,
            ("a", "", None, None, None, None, None, None, 3, True, 0.0),
            "expected a resolution above zero, got 0",
        ),
        (Channel, ("a", "", None, None, None, 1), "expected stuck_after of at least 2, got 1"),
        (Channel, ("a", "", None, None, None, None, 2.0, 2.0), "expected rail_low below rail_high, got 2.0 and 2.0"),
        (Channel, ("a", "", None, None, None, None, None, 2.0, 0), "expected saturated_after of at least 1, got 0"),
        (Sensors, (True, 1.0), "expected stuck_factor above 1 and at most 1e6, got 1"),
        (Cleaning, (2, "hold", (1.0,)), "expected medians where missing values are filled with the median only"),
        (Sampling, (0.0, 1.0), "expected 0 < period_s <= longest_gap_s, got 0.0 and 1.0"),
        (Sampling, (-1.0, 1.0), "expected 0 < period_s"),
        (Sampling, (2.0, 1.0), "expected 0 < period_s <= longest_gap_s, got 2.0 and 1.0"),
        (Operating, ("c0 >",), "expected a number in the rule 'c0 >', got the end"),
        (Operating, ("c0 > 1", "c0"), "expected one of .* in the rule 'c0', got the end"),
        (Operating, ("c0 > 1", "c0 < 1", -1.0), "expected settle_s from 0 to 1e9, got -1"),
        (Sampling, (1e-7, 1.0, Grid()), "expected a grid's period_s from 1e-6 to 1e9, got 1e-07"),
        (Sampling, (1.0, 1.0, Grid("last", 1.5)), "expected max_delay_s from 0 to period_s, 1, got 1.5"),
        (Cleaning, (-1,), "expected hold_limit from 0 to 1000000, got -1"),
        (Scaling, ("standard", (0.0,), (0.0,)), "expected scales above zero"),
        (Scaling, ("standard", (0.0,), (-1.0,)), "expected scales above zero"),
        (Scaling, ("standard", (0.0,), (float("nan"),)), "expected scales above zero"),
        (Window, (1,), "expected a window length from 2 to 100000, got 1"),
        (Window, (-8,), "expected a window length from 2 to 100000"),
        (Score, ("mae", 0), "expected last of at least 1, got 0"),
        (PercentileThreshold, ("percentile", 99.0, 1.0, 0.0), "expected a threshold above zero, got 0.0"),
        (PercentileThreshold, ("percentile", 99.0, 1.0, float("nan")), "expected a threshold above zero"),
        (AlarmPolicy, (0, 1), "expected 1 <= k <= n <= 62, got k = 0 and n = 1"),
        (AlarmPolicy, (3, 2), "expected 1 <= k <= n <= 62, got k = 3 and n = 2"),
        (AlarmPolicy, (1, 63), "expected 1 <= k <= n <= 62, got k = 1 and n = 63"),
        (AlarmPolicy, (1, 1, 1.0, 1.1), "expected 0 < exit <= enter, got 1.1 and 1.0"),
        (AlarmPolicy, (1, 1, 1.0, 0.0), "expected 0 < exit <= enter"),
        (AlarmPolicy, (1, 1, 1.0, 1.0, -1.0), "expected cooldown_s of 0 or more, got -1.0"),
    ],
    ids=str,
)
def test_sections_refuse_what_makes_no_sense(section: Any, values: tuple[Any, ...], message: str) -> None:
    """A ValueError where the object is made, a SchemaError with the place where it is read."""
    with pytest.raises(ValueError, match=message):
        section(*values)
    names = [name for name, _ in zip(section.__dataclass_fields__, values, strict=False)]
    data = dict(zip(names, [list(value) if isinstance(value, tuple) else value for value in values], strict=True))
    with pytest.raises(SchemaError, match=r"pump\.toml: .* - at \$\.alarm"):
        decode(section, data, "pump.toml", "$.alarm")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, "expected one or more channels with different names"),
        (
            {"channels": (Channel("a"), Channel("b"), Channel("a"))},
            "expected one or more channels with different names",
        ),
        ({"cleaning": Cleaning(2, "median")}, "expected 3 numbers in cleaning.medians, got none"),
        ({"cleaning": Cleaning(2, "median", (1.0,))}, "expected 3 numbers in cleaning.medians, got 1"),
        ({"time_column": "c1"}, "expected one or more channels with different names"),
        ({"scaling": Scaling("standard", (0.0,) * 2, (1.0,) * 3)}, "expected 3 numbers in scaling.center, got 2"),
        ({"scaling": Scaling("standard", (0.0,) * 3, (1.0,) * 4)}, "expected 3 numbers in scaling.scale, got 4"),
        ({"score": Score("mae", 9)}, r"expected score.last of at most 8 \(what the model estimates\), got 9"),
        (
            {"variants": (handmade.variant("a", "x"), handmade.variant("b", "x"))},
            "expected each file once, or once in half precision too",
        ),
        (
            {"variants": (handmade.variant("a", "x"), handmade.variant("a", "y"))},
            "expected variants with different names",
        ),
        (
            {"variants": (handmade.variant("a", "x"),), "golden": Golden("x", "", 0)},
            "expected the golden readings in a file of their own",
        ),
    ],
    ids=str,
)
def test_sections_must_fit_each_other(changes: dict[str, Any], message: str) -> None:
    """The manifest as a whole has rules too."""
    with pytest.raises(ValueError, match=message):
        handmade.manifest(8, 3, **changes)


def test_round_trip() -> None:
    """Through JSON and back, for a manifest by hand and for the tiny bundle's."""
    by_hand = handmade.manifest(8, 3, variants=(handmade.variant("a", "x", "onnx"),), golden=Golden("g", "0", 1))
    for m in (by_hand, Bundle.read(handmade.TINY).manifest):
        assert decode(Manifest, json.loads(json.dumps(encode(m), allow_nan=False)), "manifest.json") == m
    assert replace(by_hand, score=Score("mae", 8)).channel_names == ("c0", "c1", "c2")


def test_the_tiny_bundles_manifest_says_where_it_comes_from() -> None:
    """Data hash, seed, versions, training metrics, calibration."""
    m = Bundle.read(handmade.TINY).manifest
    assert [len(digest) for digest in m.provenance.data_sha256.values()] == [64]
    assert m.provenance.seed == 7
    assert {"python", "numpy", "tensorflow", "keras"} <= set(m.provenance.versions)
    assert m.provenance.metrics
    assert float(m.calibration["50"]) < m.threshold.value
    assert m.parameters > 100
