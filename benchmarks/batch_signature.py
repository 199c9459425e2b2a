"""`python -m benchmarks batch_signature`: ways to make the file of the unrolled graph, and what each costs everybody who opens it.

Our writer, the same with a second signature for 16 windows, TensorFlow's converter given the same operations, and the fused kernel beside
them. Each file is measured in a fresh process; memory is above numpy and the engine's package.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.context import commit, machine
from benchmarks.reference_bundle import CHANNELS, LENGTH, SEED, UNITS, Reference, reference_bundle
from benchmarks.scaling.command import fresh
from edge_runtime.bundle import Bundle, seal
from export import arm

BATCH = 16
ROUNDS = 5
UNROLLED, HALF, FUSED = "tflite-unrolled-float32", "tflite-unrolled-float16", "tflite-float32"
FUSED_KERNEL = "fused kernel"


def main(arguments: Sequence[str]) -> int:
    """Make and measure each file; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks batch_signature", description=__doc__)
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundles measured are kept")
    options = parser.parse_args(arguments)
    folder = Path(options.cache)
    standard = reference_bundle(folder, Reference(variants=(HALF, UNROLLED, FUSED))).resolve()
    root = arm.find_root()
    print(
        f"T={LENGTH}, C={CHANNELS}, LSTM({UNITS}) autoencoder, LiteRT; k = thousands of ARM instructions a window",
        flush=True,
    )
    results = []
    for name, (bundle, seconds) in {**_files(standard), FUSED_KERNEL: (standard, None)}.items():
        variant = FUSED if name == FUSED_KERNEL else UNROLLED
        results.append(_measure(name, variant, bundle, seconds, root))
        print(_row(results[-1]), flush=True)
    print(json.dumps({"benchmark": "batch_signature", "machine": machine(), "commit": commit(), "results": results}))
    return 0


def _files(standard: Path) -> dict[str, tuple[Path, float]]:
    """A bundle with each file, and the seconds it took to make that."""
    program = _program()
    from export.tflite_writer import write

    ways: dict[str, Callable[[], bytes]] = {
        "our writer": lambda: write(program, half=True),
        f"our writer, batch {BATCH} too": lambda: write(program, (1, BATCH), half=True),
        "TensorFlow's converter": lambda: _converted(program),
    }
    made = {}
    for number, (name, way) in enumerate(ways.items()):
        begin = time.perf_counter()
        file = way()
        seconds = time.perf_counter() - begin
        path = standard.with_name(f"batch-signature-{number}.anomalite")
        bundle = Bundle.read(standard)
        kept = tuple(each for each in bundle.manifest.variants if each.name != FUSED)
        seal(path, replace(bundle.manifest, variants=kept), {each.name: file for each in kept}, None)
        made[name] = path, seconds
    return made


def _program() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from training import families
    from training.flatten import flatten
    from training.models import build

    keras.utils.set_random_seed(SEED)
    spec = families.LSTMAutoencoder(family="lstm_autoencoder", units=UNITS)
    return flatten(build(spec, LENGTH, CHANNELS, keras, 1), (LENGTH, CHANNELS))


def _converted(program: Any) -> bytes:
    """The same operations as a TensorFlow function, through its own converter."""
    import tensorflow as tf

    from training import flat

    kernels = {
        flat.FullyConnected: lambda _, x: [tf.linalg.matmul(x[0], x[1], transpose_b=True) + x[2]],
        flat.Tanh: lambda _, x: [tf.tanh(x[0])],
        flat.Sigmoid: lambda _, x: [tf.sigmoid(x[0])],
        flat.Add: lambda _, x: [x[0] + x[1]],
        flat.Subtract: lambda _, x: [x[0] - x[1]],
        flat.Multiply: lambda _, x: [x[0] * x[1]],
        flat.Concatenate: lambda _, x: [tf.concat(x, -1)],
        flat.Split: lambda operation, x: tf.split(x[0], len(operation.outputs), -1),
        flat.Slice: lambda operation, x: [x[0][:, operation.begin : operation.begin + operation.size]],
        flat.Reshape: lambda operation, x: [tf.reshape(x[0], (1, *operation.shape))],
    }

    @tf.function(input_signature=[tf.TensorSpec((1, LENGTH, CHANNELS), tf.float32, name="input")])
    def calculate(window: Any) -> Any:
        return flat.evaluate(program, window, kernels=kernels)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([calculate.get_concrete_function()])
    file: bytes = converter.convert()
    return file


def _measure(name: str, variant: str, bundle: Path, seconds: float | None, root: Path | None) -> dict[str, Any]:
    one, many = (
        sorted(
            (fresh("scaling.cases", "engine", str(bundle), "litert", str(size), variant) for _ in range(ROUNDS)),
            key=lambda run: float(run["us"]),
        )[ROUNDS // 2]
        for size in (1, BATCH)
    )
    (entry,) = (each for each in Bundle.read(bundle).manifest.variants if each.name == variant)
    result = {
        "name": name, "kb": entry.size / 1000, "seconds": seconds, "us_p50": one["us"], f"us_p50_batch_{BATCH}": many["us"],
        "opening_ms": one["opening_ms"], "peak_mb": one["mb"],
    }  # fmt: skip
    if root is not None:
        half = variant if variant == FUSED else HALF
        for board, counted in ((4, variant), (5, half)):
            for size in (1, BATCH):
                result[f"k_pi{board}_batch_{size}"] = (
                    arm.instructions(root, bundle, "litert", counted, board, size) / 1000
                )
    return result


def _row(result: dict[str, Any]) -> str:
    made = f"{result['seconds']:5.2f} s to make" if result["seconds"] is not None else " " * 15
    counts = "".join(f"{result[key]:8.0f} {key}" for key in result if key.startswith("k_"))
    return (
        f"{result['name']:26} {result['kb']:6.1f} kB {made} {result['opening_ms']:6.2f} ms opening {result['peak_mb']:5.1f} MB "
        f"{result['us_p50']:7.1f} us, {result[f'us_p50_batch_{BATCH}']:.1f} in a batch of {BATCH}{counts}"
    )
