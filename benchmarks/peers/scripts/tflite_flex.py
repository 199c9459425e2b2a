"""The conversion with Flex, TensorFlow's own operators inside the file: only the whole of TensorFlow runs it."""

# -- what a user writes --
import numpy as np
import tensorflow as tf

interpreter = tf.lite.Interpreter("flex.tflite", num_threads=1)
interpreter.allocate_tensors()
into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]


def reconstruct(window):
    """The model's answer to a window (1, T, C)."""
    interpreter.set_tensor(into, window)
    interpreter.invoke()
    return interpreter.get_tensor(out)


def score(window):
    """The mean absolute error of a window (1, T, C)."""
    return float(np.abs(reconstruct(window) - window).mean())


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, reconstruct=reconstruct)
