"""river's half-space trees: a reading is scored, then learnt."""

# -- what a user writes --
import pickle
from pathlib import Path

model = pickle.loads(Path("trees.pickle").read_bytes())  # noqa: S301 - the way its documentation saves a model


def score(time, values):
    """The score of this reading alone; there is no window."""
    reading = dict(enumerate(values))
    answer = model.score_one(reading)
    model.learn_one(reading)
    return answer


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, takes="reading")
