"""The device's view: the runtime tests in environments without TensorFlow, one for each engine and one without any.

`nox -l` lists them, `nox -s "runtime(onnx)"` runs one. Each tests the wheel, not the checkout.
"""

import platform
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.parallel = 2  # the sessions are short and spend much of their time on files
nox.options.sessions = ["runtime"]
# Outside CI a missing CPython 3.11 skips the tflite session, inside it fails; it is never downloaded.
nox.options.download_python = "never"

REPOSITORY = Path(__file__).parent
WHEELS = REPOSITORY / ".nox" / "wheel"
THIS_PYTHON = ".".join(platform.python_version_tuple()[:2])

ENVIRONMENTS = [
    # interpreter, extra, constraints, engines besides numpy
    nox.param(THIS_PYTHON, None, "runtime", "", id="none"),
    nox.param(THIS_PYTHON, "litert", "runtime", "litert", id="litert"),
    nox.param(THIS_PYTHON, "onnx", "runtime", "onnx", id="onnx"),
    # The last Python of tflite-runtime, and of nothing else here that needs numpy 1.
    nox.param("3.11", None, "tflite", "", id="none, numpy 1"),
    nox.param("3.11", "tflite", "tflite", "tflite", id="tflite"),
]

CHECK_ENVIRONMENT = """
import sys
from importlib.util import find_spec
from pathlib import Path

import edge_runtime

expected = set(filter(None, sys.argv[1].split(",")))
packages = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "tflite": "tflite_runtime"}
engines = {engine for engine, package in packages.items() if find_spec(package)}
assert engines == expected, f"expected engines {expected or 'none'}, got {engines or 'none'}"
workstation = [name for name in ("tensorflow", "keras", "tf_keras", "pandas", "scipy") if find_spec(name)]
assert not workstation, f"in a slim environment: {workstation}"
where = Path(edge_runtime.__file__).resolve()
assert where.is_relative_to(Path(sys.prefix).resolve()), f"the tests would import the checkout: {where}"
"""


@nox.session(python=False, default=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel that the other sessions install."""
    for left_over in (REPOSITORY / "build", WHEELS):  # setuptools would pack a deleted module again from build/
        shutil.rmtree(left_over, ignore_errors=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(WHEELS), str(REPOSITORY)]
    session.run(*build, external=True)
    shutil.rmtree(REPOSITORY / "build", ignore_errors=True)


@nox.session(requires=["wheel"], allow_parallel=True)
@nox.parametrize(["python", "extra", "constraints", "engines"], ENVIRONMENTS)
def runtime(session: nox.Session, extra: str | None, constraints: str, engines: str) -> None:
    """Run tests/runtime against the installed wheel."""
    (package,) = map(str, WHEELS.glob("anomalite-*.whl"))
    requirement = f"{package}[{extra}]" if extra else package
    session.install(
        requirement, "pytest", "hypothesis", "--constraint", str(REPOSITORY / "constraints" / f"{constraints}.txt")
    )
    session.install("--force-reinstall", "--no-deps", package)  # same version, other contents

    session.chdir(session.virtualenv.location)
    # Safe path: nothing is imported from the working directory, in the subprocesses of the tests either.
    environment = {"ANOMALITE_EXPECT_ENGINES": engines, "PYTHONSAFEPATH": "1", "PYTHONPATH": None}
    session.run("python", "-c", CHECK_ENVIRONMENT, engines, env=environment, log=False)
    session.run(
        *("python", "-m", "pytest", "-p", "no:cacheprovider", "-c", str(REPOSITORY / "pyproject.toml")),
        *("--rootdir", str(REPOSITORY), str(REPOSITORY / "tests" / "runtime"), *session.posargs),
        env=environment,
    )
