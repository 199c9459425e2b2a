"""scikit-learn's isolation forest on the window's values, asked for one window."""

# -- what a user writes --
import joblib

forest = joblib.load("forest.joblib")


def score(window):
    """The score of a window (1, T, C): the more, the more unusual."""
    return -float(forest.score_samples(window.reshape(1, -1))[0])


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score)
