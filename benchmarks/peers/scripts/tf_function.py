"""The same Keras model compiled into a `tf.function`."""

# -- what a user writes --
import keras
import numpy as np
import tensorflow as tf

model = keras.saving.load_model("model.keras")
reconstruct = tf.function(lambda window: model(window, training=False))


def score(window):
    """The mean absolute error of a window (1, T, C)."""
    return float(np.abs(reconstruct(tf.constant(window)).numpy() - window).mean())


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, reconstruct=lambda window: reconstruct(tf.constant(window)).numpy())
