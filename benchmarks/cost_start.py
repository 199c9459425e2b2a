"""What a fresh process does until its first verdict, and the least it could do, with marks that the emulator's counter answers to.

    python cost_start.py ours ENGINE BUNDLE VARIANT    import, load, T readings: a mark before, between and after
    python cost_start.py floor ENGINE MODEL            numpy, the engine, the model opened as ours opens it: a mark before, between and after

Imports nothing before the first mark: what is imported belongs to what is counted.
"""

import os
import sys

FIRST_MARK = -7001000
"""As in pi/instructions.c."""


def mark(number: int) -> None:
    """Have the emulator print how many instructions there were so far."""
    os.isatty(FIRST_MARK - number)


def ours(engine: str, path: str, variant: str) -> None:
    """As a user's program begins."""
    mark(0)
    from edge_runtime import Reading, load

    mark(1)
    detector = load(path, engine=engine)
    mark(2)
    values = (0.1,) * len(detector.manifest.channels)
    for step in range(detector.manifest.window.length):
        verdict = detector.update(Reading(float(step), values))
    mark(3)
    if (verdict.status, detector.variant_name) != ("scored", variant):
        raise SystemExit(f"expected a score of {variant}, got {verdict.status} of {detector.variant_name}")


def floor(engine: str, path: str) -> None:
    """What nobody can do without."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be an import
        model = file.read()
    mark(0)
    import numpy  # noqa: F401, ICN001 - only to have it

    if engine == "litert":
        from ai_edge_litert.interpreter import Interpreter
    elif engine == "onnx":
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime
    mark(1)
    if engine == "litert":
        Interpreter(model_content=model, num_threads=1).allocate_tensors()
    elif engine == "onnx":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    mark(2)


def facts() -> None:
    """Print, after the last mark, which Python this is and where it keeps what it compiled of the modules it imported."""
    import json

    compiled = {getattr(module, "__cached__", None) for module in list(sys.modules.values())}
    print(json.dumps({"python": sys.version.split()[0], "compiled": sorted(filter(None, compiled))}))


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        ours(*sys.argv[2:])
    else:
        floor(*sys.argv[2:])
    facts()
