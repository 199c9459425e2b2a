"""Keras, as the tutorials do it: `Model.predict` and the mean absolute error."""

# -- what a user writes --
import keras
import numpy as np

model = keras.saving.load_model("model.keras")


def score(window):
    """The mean absolute error of a window (1, T, C)."""
    return float(np.abs(model.predict(window, verbose=0) - window).mean())


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, reconstruct=lambda window: model.predict(window, verbose=0))
