"""Our TFLite file through LiteRT's own interface and nothing else: set input, invoke, get output."""

# -- what a user writes --
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("bare.tflite", num_threads=1)
interpreter.allocate_tensors()
into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]


def reconstruct(window):
    """The model's answer to a window (1, T, C)."""
    interpreter.reset_all_variables()
    interpreter.set_tensor(into, window)
    interpreter.invoke()
    return interpreter.get_tensor(out)


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(reconstruct, reconstruct=reconstruct)
