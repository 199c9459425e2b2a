"""PyOD's deep autoencoder (dense, on PyTorch), saved and loaded its own way, asked for one window."""

# -- what a user writes --
from pyod.models.auto_encoder import AutoEncoder

detector = AutoEncoder.load("pyod.pt")


def score(window):
    """The score of a window (1, T, C)."""
    return float(detector.decision_function(window.reshape(1, -1))[0])


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score)
