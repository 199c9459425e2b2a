"""anomalite on numpy: a reading in, a verdict out."""

# -- what a user writes --
from edge_runtime import Reading, load

detector = load("reference.anomalite", engine="numpy")


def score(time, values):
    """The score of the window that ends with this reading; None as long as there is none."""
    return detector.update(Reading(time, values)).score


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, takes="reading", reconstruct=detector.engine.run)
