"""Golden readings: what passes, what does not, and what is no golden file."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime.bundle import Bundle, seal
from edge_runtime.cli import main
from edge_runtime.commands.verify import verify
from edge_runtime.cpu import cpu_kind
from edge_runtime.detector import Detector
from edge_runtime.engines import installed_engines, open_engine
from edge_runtime.errors import AnomaliteError, BundleError, EngineError
from edge_runtime.golden import GoldenReadings, check_golden, read_golden, write_golden
from edge_runtime.manifest import Requires

MEMBERS = handmade.members_of(handmade.TINY)


def columns_of(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz file."""
    with np.load(io.BytesIO(data)) as archive:
        return {name: archive[name] for name in archive.files}


def with_members(path: Path, **replaced: bytes) -> Bundle:
    """The tiny bundle with members replaced (`_` for the dot), sealed again with right hashes and digest."""
    members = {**MEMBERS, **{name.replace("_", "."): data for name, data in replaced.items()}}
    path.write_bytes(handmade.pack(handmade.rewrite(members).items()))
    return Bundle.read(path)


@pytest.mark.parametrize("engine", installed_engines())
def test_the_tiny_bundle_passes(engine: str) -> None:
    """Every variant of the committed bundle on every installed engine that runs it."""
    bundle = Bundle.read(handmade.TINY)
    golden = read_golden(bundle)
    variants = [variant for variant in bundle.manifest.variants if engine in variant.engines]
    assert variants
    for variant in variants:
        result = check_golden(bundle, golden, variant, engine)
        assert result.passed
        assert (result.variant, result.engine, result.tolerance) == (variant.name, engine, variant.tolerance)
        assert result.difference <= variant.tolerance
        assert result.flipped == 0
        assert result.scored == int((~np.isnan(golden.scores[variant.name])).sum()) > 10


def test_the_tiny_bundles_readings_visit_every_path() -> None:
    """Missing values, a value out of range, a gap; scores on both sides of the threshold."""
    bundle = Bundle.read(handmade.TINY)
    golden = read_golden(bundle)
    assert set(golden.status_codes.tolist()) == {0, 1, 2, 3}
    assert np.isnan(golden.values).any()
    scores = golden.scores["numpy-float32"]
    assert (scores > bundle.manifest.threshold.value).any()
    assert (scores < bundle.manifest.threshold.value).any()


def test_round_trip() -> None:
    """What is written is read, no column more."""
    bundle = Bundle.read(handmade.TINY)
    golden = read_golden(bundle)
    data = write_golden(golden)
    assert set(columns_of(data)) == {"values", "times", "status_codes"} | {
        f"scores.{variant.name}" for variant in bundle.manifest.variants
    }
    again = read_golden(Bundle(bundle.manifest, {**bundle.members, "golden.npz": data}, "again"))
    for name in ("values", "times", "status_codes"):
        assert np.array_equal(getattr(again, name), getattr(golden, name), equal_nan=name == "values")
    assert all(np.array_equal(again.scores[name], golden.scores[name], equal_nan=True) for name in golden.scores)


WEIGHTS = [name for name in columns_of(MEMBERS["model.npz"]) if name != "layers"]


def damaged_weights(how: str) -> bytes:
    """The numpy variant's model with its weights zeroed, shuffled or slightly off."""
    members: dict[str, Any] = columns_of(MEMBERS["model.npz"])
    rng = np.random.default_rng(1)
    for name in WEIGHTS:
        if how == "zeroed":
            members[name] = np.zeros_like(members[name])
        elif how == "shuffled":
            members[name] = rng.permutation(members[name].ravel()).reshape(members[name].shape)
        else:
            members[name] = (members[name] * 1.05).astype(np.float32)
    return handmade.npz(**members)


@pytest.mark.parametrize("how", ["zeroed", "shuffled", "5 % off"])
def test_damaged_weights_fail(tmp_path: Path, how: str) -> None:
    """With right hashes and digest: only the golden readings can tell."""
    bundle = with_members(tmp_path / "damaged.anomalite", model_npz=damaged_weights(how))
    result = check_golden(bundle, read_golden(bundle), bundle.variant("numpy-float32"), "numpy")
    assert not result.passed
    assert result.difference > result.tolerance


@pytest.mark.parametrize(
    "case", ["scores", "one score", "a missing score", "a score too many", "a status", "values", "nothing scored"]
)
def test_other_golden_readings_fail(tmp_path: Path, case: str) -> None:
    """Each part of what is expected counts."""
    columns = columns_of(MEMBERS["golden.npz"])
    scores, statuses = columns["scores.numpy-float32"], columns["status_codes"]
    scored = np.nonzero(~np.isnan(scores))[0]
    if case == "scores":
        scores *= 1.002
    elif case == "one score":
        scores[scored[-1]] *= 0.998
    elif case == "a missing score":
        scores[scored[0]] = np.nan
        statuses[scored[0]] = 1
    elif case == "a score too many":
        scores[0] = 0.1
    elif case == "a status":
        statuses[0] = 2
    elif case == "values":
        columns["values"][scored[5]] += 0.5
    else:
        scores[:] = np.nan
    bundle = with_members(tmp_path / "other.anomalite", golden_npz=handmade.npz(**columns))
    assert not check_golden(bundle, read_golden(bundle), bundle.variant("numpy-float32"), "numpy").passed


def test_a_decision_flipped_within_the_tolerance_counts_only_away_from_the_threshold(tmp_path: Path) -> None:
    """A score that rounding may put on either side is not held against an engine; one further away is."""
    m = handmade.manifest(4, 2)
    model = handmade.lstm_model(4, 2)
    values, times = handmade.stream(12, 2)
    bundle = Bundle.read(handmade.sealed(tmp_path / "first.anomalite", m, model))
    columns = read_golden(bundle)
    score = float(columns.scores["numpy-float32"][-1])
    for factor, flipped in ((1 + 1e-4, 0), (1 + 5e-3, 1)):
        changed = replace(m, threshold=replace(m.threshold, value=score * factor), variants=bundle.manifest.variants)
        expected = columns.scores["numpy-float32"].copy()
        expected[-1] = score * (1 + 2 * (factor - 1))  # on the other side of the threshold
        golden = GoldenReadings(values, times, columns.status_codes, {"numpy-float32": expected})
        resealed = seal(tmp_path / "again.anomalite", changed, {"numpy-float32": model}, write_golden(golden))
        result = check_golden(resealed, golden, resealed.manifest.variants[0], "numpy")
        assert result.flipped == flipped
        assert result.passed == (flipped == 0)


@pytest.mark.parametrize("kind", handmade.THRESHOLDS)
def test_golden_readings_hold_for_every_threshold(tmp_path: Path, kind: str) -> None:
    """Decisions are compared by the threshold in force at each reading; scores elsewhere would be decided otherwise."""
    threshold = replace(handmade.THRESHOLDS[kind], value=0.9)
    threshold = replace(threshold, start=0.6, limit=3.0) if kind == "spot" else threshold
    m, model = handmade.manifest(4, 2, threshold=threshold), handmade.lstm_model(4, 2)
    values, times = handmade.stream(200, 2)
    verdicts = Detector(m, open_engine("numpy", model, (4, 2))).score(values, handmade.moments(times))
    assert 0 < verdicts.anomalous.sum() < verdicts.scored.sum()
    m = replace(m, variants=(handmade.variant("numpy-float32", "model.npz", "numpy"),))
    scores = verdicts.scores
    for factor, passes in ((1.0, True), (1 + 1e-6, True), (1.3, False)):
        golden = GoldenReadings(values, times, verdicts.status_codes, {"numpy-float32": scores * factor})
        bundle = seal(tmp_path / "any.anomalite", m, {"numpy-float32": model}, write_golden(golden))
        result = check_golden(bundle, golden, bundle.manifest.variants[0], "numpy")
        assert result.passed == passes
        assert (result.flipped == 0) == passes
    # One score on the other side of the threshold in force, towards the one it began with.
    used, is_high = verdicts.thresholds, verdicts.anomalous
    row = int(np.flatnonzero(verdicts.scored & np.where(is_high, used >= 0.9, used <= 0.9))[-1])
    scores = verdicts.scores.copy()
    scores[row] = used[row] * (0.99 if is_high[row] else 1.01)
    golden = GoldenReadings(values, times, verdicts.status_codes, {"numpy-float32": scores})
    assert check_golden(bundle, golden, bundle.manifest.variants[0], "numpy").flipped == 1


GOLDEN = columns_of(MEMBERS["golden.npz"])


def without(name: str) -> bytes:
    return handmade.npz(**{key: column for key, column in GOLDEN.items() if key != name})


def pickled() -> bytes:
    return handmade.npz(**{**GOLDEN, "values": np.array([{}], object)})


BAD = {
    "empty": lambda: b"",
    "text": lambda: b"golden",
    "a cut file": lambda: MEMBERS["golden.npz"][:-10],
    "an array": lambda: (buffer := io.BytesIO(), np.save(buffer, np.zeros(3)), buffer.getvalue())[-1],
    "a pickle": pickled,
    "no values": lambda: without("values"),
    "no times": lambda: without("times"),
    "no scores of a variant": lambda: without("scores.numpy-float32"),
    "scores of text": lambda: handmade.npz(**{**GOLDEN, "scores.numpy-float32": np.array(["x"] * len(GOLDEN["times"]))}),
    "fewer values": lambda: handmade.npz(**{**GOLDEN, "values": GOLDEN["values"][:-1]}),
    "fewer channels": lambda: handmade.npz(**{**GOLDEN, "values": GOLDEN["values"][:, :2]}),
    "fewer scores": lambda: handmade.npz(**{**GOLDEN, "scores.numpy-float32": GOLDEN["scores.numpy-float32"][:-1]}),
    "fewer statuses": lambda: handmade.npz(**{**GOLDEN, "status_codes": GOLDEN["status_codes"][:-1]}),
    "float times": lambda: handmade.npz(**{**GOLDEN, "times": GOLDEN["times"] * 1.0}),
    "one time": lambda: handmade.npz(**{**GOLDEN, "times": GOLDEN["times"][0]}),
    "text for values": lambda: handmade.npz(**{**GOLDEN, "values": np.full(GOLDEN["values"].shape, "x")}),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_golden_file(tmp_path: Path, case: str) -> None:
    """Sealed with right hashes: refused by name in one line, and nothing is unpickled."""
    path = tmp_path / "bad.anomalite"
    bundle = with_members(path, golden_npz=BAD[case]())
    with pytest.raises(BundleError, match=r"bad\.anomalite: golden\.npz: ") as caught:
        read_golden(bundle)
    assert "\n" not in str(caught.value)


def test_times_that_no_calendar_has(tmp_path: Path) -> None:
    """Are refused when they are scored."""
    bundle = with_members(
        tmp_path / "bad.anomalite", golden_npz=handmade.npz(**{**GOLDEN, "times": GOLDEN["times"] + 2**60})
    )
    with pytest.raises(AnomaliteError, match="years 1 to 9999"):
        check_golden(bundle, read_golden(bundle), bundle.variant("numpy-float32"), "numpy")


def test_a_bundle_without_golden_readings(tmp_path: Path) -> None:
    """Cannot be verified, and says so."""
    bundle = Bundle.read(handmade.sealed(tmp_path / "without.anomalite", golden=False))
    with pytest.raises(BundleError, match=r"without\.anomalite: expected golden readings to verify with, found none"):
        read_golden(bundle)


def test_a_model_that_does_not_run(tmp_path: Path) -> None:
    """Is an EngineError."""
    bundle = with_members(tmp_path / "bad.anomalite", model_npz=b"nothing")
    with pytest.raises(EngineError, match="numpy: the model is refused"):
        check_golden(bundle, read_golden(bundle), bundle.variant("numpy-float32"), "numpy")


def test_what_the_manifest_rules_out_here_is_not_checked_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variant for another CPU is neither run nor called broken; if there is no other, that is an error."""
    bundle = Bundle.read(handmade.TINY)
    elsewhere = Requires(cpus=("aarch64-fp16" if cpu_kind() != "aarch64-fp16" else "x86_64",))
    one, *others = sorted(bundle.manifest.variants, key=lambda variant: variant.name != "numpy-float32")
    members = {each.name: bundle.members[each.file] for each in bundle.manifest.variants}
    golden = bundle.members[str(bundle.manifest.golden and bundle.manifest.golden.file)]
    strange = [replace(each, requires=elsewhere) for each in others]
    path = tmp_path / "mixed.anomalite"
    mixed = seal(path, replace(bundle.manifest, variants=(one, *strange)), members, golden)
    assert {result.variant for result in verify(mixed)[0]} == {"numpy-float32"}
    assert main(["verify", str(path)]) == 0
    assert f"not for this machine, not checked: {strange[0].name} on " in capsys.readouterr().out
    none = seal(path, replace(bundle.manifest, variants=(replace(one, requires=elsewhere),)), members, golden)
    with pytest.raises(
        EngineError, match="expected a variant for this machine, got numpy-float32 on numpy: it is for "
    ):
        verify(none)
