"""PyTorch's own export, run by ONNX Runtime."""

# -- what a user writes --
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession("pytorch.onnx", options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


def score(window):
    """The mean absolute error of a window (1, T, C)."""
    return float(np.abs(session.run(None, {name: window})[0] - window).mean())


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, reconstruct=lambda window: session.run(None, {name: window})[0])
