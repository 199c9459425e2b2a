"""`family = "auto"`: injected faults decide, and of those that detect as well as the best the cheapest is kept."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.cli import main
from edge_runtime.errors import RunError, SchemaError, TrainingError
from edge_runtime.readings import SCORED, WARMING_UP, Verdicts
from training import load_config, read_run, train
from training.auto import REPEATS, TOLERANCE, Candidate, choose, select
from training.config import DenseAutoencoder, LinearAutoencoder, LSTMForecaster
from training.data import Stretch
from training.families import CANDIDATES
from training.faults import FAULTS
from training.models import FAMILIES

LENGTH = 8
MODEL = 'family = "dense_autoencoder"\nhidden = [6]\nlatent = 3'
AUTO = """family = "auto"
candidates = [
    { family = "dense_autoencoder", hidden = [6], latent = 3 },
    { family = "linear_autoencoder", components = 3 },
]"""


class Watcher:
    """Scores a reading by how far it is from the normal one, which it knows; blindness is noise on its scores."""

    def __init__(self, normal, blindness=0.0, threshold=1e-9, lag=1, seed=0):
        self.normal, self.blindness, self.threshold, self.lag = normal, blindness, threshold, lag
        self.rng = np.random.default_rng(seed)

    def score(self, values, times):
        verdicts = Verdicts(len(values), ("a", "b"), one_machine=True)
        rows = times.astype(np.int64) // 1_000_000
        scores = np.abs(values - self.normal[rows]).max(axis=1)
        scores = np.array([scores[max(0, i - self.lag + 1) : i + 1].max() for i in range(len(scores))])
        verdicts.scores[:] = scores + self.rng.exponential(self.blindness, len(scores))
        verdicts.thresholds[:] = self.threshold
        verdicts.status_codes[LENGTH - 1 :] = SCORED
        return verdicts


@pytest.fixture
def normal():
    """Normal readings (2000, 2), one a second."""
    rng = np.random.default_rng(1)
    return np.sin(2 * np.pi * np.arange(2_000) / 37)[:, None] + rng.normal(0, 0.2, (2_000, 2))


@pytest.fixture
def held_out(normal):
    return [Stretch(np.arange(2_000) * 1_000_000, normal)]


def candidate(detector, cost, parameters=100, units=1):
    return Candidate(DenseAutoencoder("dense_autoencoder", hidden=(units,)), detector, parameters, cost, 1.0)


def test_equal_ones_give_the_cheapest(normal, held_out):
    """Of candidates that detect the same the one with the fewest multiply-adds is kept, and the reason says so."""
    found = select([candidate(Watcher(normal), cost) for cost in (3_000, 1_000, 2_000)], held_out, LENGTH, 1)
    assert found.chosen == 1
    assert all(each.is_as_good for each in found.candidates)
    assert found.reason == (
        "dense_autoencoder is the cheapest of 3 that detect as well as dense_autoencoder, the best: "
        "1,000 multiply-adds a window, not 3,000"
    )
    assert list(found.candidates[0].by_fault) == list(FAULTS)
    assert found.repeats == REPEATS
    assert found.faulty_readings > 1_000


def test_a_cheap_one_that_is_blind_is_not_kept(normal, held_out):
    """What detects clearly worse is out, however cheap."""
    watchers = [Watcher(normal, blindness) for blindness in (3.0, 0.0, 3.0)]
    found = select(
        [candidate(each, cost) for each, cost in zip(watchers, (1, 1_000, 2), strict=True)], held_out, LENGTH, 1
    )
    assert found.chosen == found.best == 1
    assert [each.is_as_good for each in found.candidates] == [False, True, False]
    assert found.reason == "dense_autoencoder detects best, and none of the others is as good"
    behind = found.candidates[0].behind
    assert behind.average_precision > 0.1
    assert behind.average_precision == pytest.approx(
        found.candidates[1].average_precision - found.candidates[0].average_precision
    )


def test_a_threshold_that_finds_nothing_is_not_as_good(normal, held_out):
    """The same scores under a threshold out of reach: the recall decides."""
    watchers = [Watcher(normal, threshold=threshold) for threshold in (100.0, 1e-9)]
    found = select([candidate(watchers[0], 1), candidate(watchers[1], 2)], held_out, LENGTH, 1)
    assert found.chosen == 1
    low, high = found.candidates
    assert low.average_precision == high.average_precision
    assert (low.recall, low.false_alarms) == (0, 0)
    assert high.recall > 0.8


@pytest.mark.parametrize("lag", [1, LENGTH, 20 * LENGTH])
def test_a_score_that_stays_up_after_a_fault_is_no_false_alarm(normal, held_out, lag):
    """Smoothing, derived inputs and a grid make a fault felt for longer than a window; false alarms are those without faults."""
    found = select([candidate(Watcher(normal, lag=lag), 1)], held_out, LENGTH, 1)
    assert found.candidates[0].false_alarms == 0


def test_false_alarms_are_those_without_faults(normal, held_out):
    """The share of normal readings above the threshold, whatever is injected."""
    found = select([candidate(Watcher(normal, blindness=1.0, threshold=np.log(10)), 1)], held_out, LENGTH, 1)
    assert found.candidates[0].false_alarms == pytest.approx(0.1, abs=0.01)


def test_same_seed_same_choice(normal, held_out):
    """The seed decides the faults, and so every figure."""
    first, again, other = (select([candidate(Watcher(normal, 0.5), 1)], held_out, LENGTH, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_one_channel_is_enough(normal):
    """With one channel that varies, the faults that need several are left out."""
    flat = np.column_stack((normal[:, 0], np.ones(len(normal))))
    stretch = Stretch(np.arange(2_000) * 1_000_000, flat)
    found = select([candidate(Watcher(flat), 1)], [stretch], LENGTH, 1)
    assert list(found.candidates[0].by_fault) == [name for name in FAULTS if name != "broken_correlation"]


def test_no_room_for_a_fault(normal):
    """Three windows in a row are needed somewhere in the part; the message says how many rows that is."""
    watcher = candidate(Watcher(normal), 1)
    stretches = [Stretch(np.arange(rows) * 1_000_000, normal[:rows]) for rows in (10, 23)]
    with pytest.raises(TrainingError, match=r"the early_stopping part: expected at least 24 unbroken rows .* got 23"):
        select([watcher], stretches, LENGTH, 1)
    stretches.append(Stretch(np.arange(24) * 1_000_000, normal[:24]))
    assert select([watcher], stretches, LENGTH, 1).chosen == 0


def test_nothing_scored_is_an_error(normal, held_out):
    """Without a single scored reading there is nothing to choose by."""
    watcher = Watcher(normal)
    score = watcher.score

    def never(values, times):
        verdicts = score(values, times)
        verdicts.status_codes[:] = WARMING_UP
        return verdicts

    watcher.score = never
    with pytest.raises(TrainingError, match="expected readings with injected faults to be scored, got none"):
        select([candidate(watcher, 1)], held_out, LENGTH, 1)


def figures(*candidates):
    """Figures (candidates, repetitions, 1, 3) of [(average precision, recall[, false alarms]) a repetition] a candidate."""
    return np.array([[[(*each, 0.0)[:3]] for each in repetitions] for repetitions in candidates])


STEADY = [(0.8, 0.5)] * 4
RULE = {
    "just within the tolerance": ([(0.8 - 0.9 * TOLERANCE, 0.5)] * 4, True),
    "just beyond it": ([(0.8 - 1.1 * TOLERANCE, 0.5)] * 4, False),
    "within a standard error, which is larger": ([(0.9, 0.5), (0.6, 0.5), (0.9, 0.5), (0.6, 0.5)], True),
    "beyond a standard error": ([(0.8, 0.5), (0.5, 0.5), (0.8, 0.5), (0.5, 0.5)], False),
    "less precise, with more recall": ([(0.7, 0.55)] * 4, False),
    "more precise, with less recall": ([(0.85, 0.4)] * 4, False),
    "as much recall, with false alarms": ([(0.8, 0.5, 0.02)] * 4, False),
    "more recall, by as many false alarms": ([(0.8, 0.7, 0.2)] * 4, True),
}


@pytest.mark.parametrize(("other", "as_good"), RULE.values(), ids=RULE)
def test_rule(other, as_good):
    """Not worse in average precision, nor in recall less false alarms, by more than .01 or one standard error of the mean difference."""
    pair = [candidate(None, 2), candidate(None, 1)]
    found = choose(pair, figures(STEADY, other), ["spike"], 10)
    assert found.best == 0
    assert found.candidates[1].is_as_good == as_good
    assert found.chosen == (1 if as_good else 0)


def test_ties_in_cost():
    """Equal multiply-adds: the fewest parameters, then the one named first."""
    three = [candidate(None, 5, parameters) for parameters in (9, 8, 8)]
    assert choose(three, figures(STEADY, STEADY, STEADY), ["spike"], 10).chosen == 1


def test_default_candidates_cover_every_family(workshop):
    """Every family can win; those that the score rules out are left out."""
    assert {model.family for model in CANDIDATES} == set(FAMILIES)
    workshop.write_config((MODEL, 'family = "auto"'))
    assert load_config(workshop.config).models == CANDIDATES
    workshop.write_config((MODEL, 'family = "auto"'), ("[fit]", "[score]\nlast = 2\n[fit]"))
    models = load_config(workshop.config).models
    assert models == tuple(model for model in CANDIDATES if not isinstance(model, LSTMForecaster))


CONFIG_FAULTS = {
    "one candidate": (
        (MODEL, 'family = "auto"\ncandidates = [{ family = "linear_autoencoder" }]'),
        "expected two or more",
    ),
    "a candidate twice": (
        (MODEL, AUTO.replace("]\n]", "]")[:-1] + AUTO.splitlines()[2] + "\n]"),
        "twice with the same",
    ),
    "a candidate that does not fit": (
        (MODEL, AUTO[:-1] + '    { family = "lstm_forecaster", horizon = 4 },\n]'),
        "expected model.horizon below 4 (the window), got 4",
    ),
    "auto in auto": ((MODEL, AUTO[:-1] + '    { family = "auto" },\n]'), "unknown family 'auto'"),
    "a score longer than the window": (
        ("[fit]", "[score]\nlast = 5\n[fit]"),
        "expected score.last of at most 4 (the window), got 5",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONFIG_FAULTS.values(), ids=CONFIG_FAULTS)
def test_configuration_faults(workshop, change, message):
    """What cannot be chosen from is refused on reading."""
    changes = (change,) if change[0] == MODEL else (change, (MODEL, 'family = "auto"'))
    workshop.write_config(*changes)
    with pytest.raises(SchemaError) as caught:
        load_config(workshop.config)
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def chosen(make_workshop, tmp_path_factory):
    """A workshop whose model is chosen, with a run in the folder `run`; tests that change the run take a copy."""
    shop = make_workshop(tmp_path_factory.mktemp("auto"))
    shop.write_config((MODEL, AUTO))
    train(shop.config, shop.folder / "run")
    return shop


def test_command_trains_chooses_and_says_why(chosen, capsys):
    """The run is the chosen candidate's, from manifest to weights, and the summary has the table and the reason."""
    out = chosen.folder / "again"
    assert main(["train", str(chosen.config), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    run = read_run(out)
    selection = run.record.selection
    assert "candidate 1 of 2: dense_autoencoder\n" in printed.err
    assert "candidate 2 of 2: linear_autoencoder\n" in printed.err
    assert re.search(rf"^chosen +{re.escape(selection.reason)}$", printed.out, re.MULTILINE)
    for number, each in enumerate(selection.candidates, 1):
        line = f"{each.model.family}: average precision {each.average_precision:.3f}"
        assert re.search(rf"^candidate {number} +{re.escape(line)}", printed.out, re.MULTILINE)
    assert run.manifest.family == selection.model.family == run.model.family
    # Chosen on a part of the readings, a model in closed form is then fitted to all of them.
    assert list(run.record.parts) == ["fit"]
    assert run.record.parts["fit"].rows == 240
    assert run.load_model().name == run.model.family
    window = run.calibration_windows[:1]
    np.testing.assert_allclose(run.load_twin()(window), run.load_model()(window), atol=1e-5)


def test_json_has_the_table(chosen, capsys):
    """--json carries the selection as it is in training.json."""
    out = chosen.folder / "json"
    assert main(["train", str(chosen.config), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["selection"] == json.loads((out / "training.json").read_text())["selection"]
    assert [each["model"]["family"] for each in printed["selection"]["candidates"]] == [
        "dense_autoencoder",
        "linear_autoencoder",
    ]


def test_training_on_from_auto(chosen, trained):
    """Auto cannot go on from a run; a run that auto chose can be gone on from by naming what it chose."""
    run = read_run(chosen.folder / "run")
    with pytest.raises(
        RunError, match=f"{trained}: expected the run's own model .*, dense_autoencoder, got auto, which"
    ):
        train(chosen.config, chosen.folder / "later", from_run=trained)
    own = {"dense_autoencoder": MODEL, "linear_autoencoder": 'family = "linear_autoencoder"\ncomponents = 3'}
    chosen.write_config((MODEL, own[run.model.family]))
    try:
        later = train(chosen.config, chosen.folder / "later", from_run=run.path)
    finally:
        chosen.write_config((MODEL, AUTO))
    assert later.model == run.model
    assert later.record.selection is None


def test_a_record_without_the_selection_is_refused(chosen, tmp_path):
    """What was chosen must be on record, or nobody knows what the weights mean."""
    copy = shutil.copytree(chosen.folder / "run", tmp_path / "copy")
    record = json.loads((copy / "training.json").read_text())
    (copy / "training.json").write_text(json.dumps({**record, "selection": None}))
    with pytest.raises(
        RunError, match=r"training\.json: expected a selection, because the configuration's family is auto"
    ):
        read_run(copy)


@pytest.mark.parametrize("rule", ['when = "flow > 1"\nsettle_s = 2400', 'when = "flow > 50"\nuntil = "flow < 1"'])
def test_readings_in_the_state_are_judged_from_the_first(workshop, make_normal, rule):
    """A machine that takes longer to settle than the streams last, or is switched on once, can be chosen for as well."""
    values = make_normal(480)
    values[[0, 336, 408], 0] = 90
    workshop.write_readings(values=values)
    workshop.write_config((MODEL, AUTO), ("[fit]", f"[operating]\n{rule}\n[fit]"))
    selection = train(workshop.config, workshop.folder / "run").record.selection
    assert selection.faulty_readings > 100


def test_no_room_is_found_before_tensorflow_starts(workshop, monkeypatch):
    """An early-stopping part without room for faults is refused at once."""
    monkeypatch.setattr("training.trained.fit_trimmed", lambda *arguments, **options: pytest.fail("it went on to fit"))
    workshop.write_config((MODEL, 'family = "auto"'), ("length = 4", "length = 13"))
    with pytest.raises(TrainingError, match=r"expected at least 39 unbroken rows .* got 36"):
        train(workshop.config, workshop.folder / "run")


def test_a_candidate_that_cannot_be_fitted_is_named(workshop, monkeypatch):
    """An error while fitting says whose it is."""

    def diverge(spec, *arguments, **options):
        raise TrainingError("epoch 1: expected a finite loss, got nan")

    monkeypatch.setattr("training.trained.fit_trimmed", diverge)
    workshop.write_config((MODEL, AUTO))
    with pytest.raises(TrainingError, match=r"^candidate dense_autoencoder: epoch 1: expected a finite loss"):
        train(workshop.config, workshop.folder / "run")


def test_chosen_model_is_a_family_of_its_own():
    """The selection's model is the candidate's, settings and all."""
    special = LinearAutoencoder("linear_autoencoder", components=2)
    pair = [replace(candidate(None, 1), model=special), candidate(None, 2)]
    assert choose(pair, figures(STEADY, STEADY), ["spike"], 10).model is special
