"""Our ONNX file through ONNX Runtime's own interface and nothing else, with the options our engine sets."""

# -- what a user writes --
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.enable_cpu_mem_arena = False
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession("bare.onnx", options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


def reconstruct(window):
    """The model's answer to a window (1, T, C)."""
    return session.run(None, {name: window})[0]


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(reconstruct, reconstruct=reconstruct)
