"""The ways of a conversion in turn, until one gives a file that runs."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def save_first_that_works(ways, file):
    """Write the file of the first way that converts and runs; print the ways that failed, or end with them."""
    failed = {}
    for name, way in ways.items():
        try:
            content = way()
            _run(content)
        except Exception as fault:  # noqa: BLE001 - the converter's errors have no common base below Exception
            failed.setdefault(_reason(fault), []).append(name)
            continue
        Path(file).write_bytes(content)
        print("; ".join([*_told(failed), f"{name} works"]))
        return
    sys.exit("; ".join(_told(failed)))


def _told(failed):
    return [f"{' and '.join(names)}: {reason}" for reason, names in failed.items()]


def _run(content):
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"],
        np.zeros(interpreter.get_input_details()[0]["shape"], np.float32),
    )
    interpreter.invoke()


def _reason(fault):
    """In a few words; the messages are pages long."""
    text = str(fault)
    for sign, words in {
        "Flex delegate": "converts and does not run (this TensorFlow's interpreter has no Flex delegate)",
        "TensorList": "does not convert (TensorList operators)",
        "READ_VARIABLE": "converts and does not run (variables read before they are assigned)",
        "ReadVariableOp": "converts and does not run (variables read before they are assigned)",
    }.items():
        if sign in text:
            return words
    return f"fails ({(text.strip().splitlines() or [type(fault).__name__])[-1][:150]})"
