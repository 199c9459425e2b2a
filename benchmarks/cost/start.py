"""What a fresh process does until its first verdict, and the least it could do, with marks that the emulator's counter answers to.

    python start.py ours ENGINE BUNDLE VARIANT    import, load, T readings: a mark before, between and after
    python start.py floor MODEL OPENING           numpy, the engine, the model opened as ours opens it: a mark before and after

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


def floor(path: str, opening: str) -> None:
    """What nobody can do without."""
    mark(0)
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be an import
        data = file.read()
    exec(opening, {"data": data})  # noqa: S102 - the text of benchmarks/bare.py
    mark(1)


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
