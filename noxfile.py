"""The device's view: the runtime tests in environments without TensorFlow, one for each engine and one without any, and on
every Raspberry Pi, emulated; the gateway's tests with what a gateway has installed.

`nox -l` lists them, `nox -s "runtime(onnx)"` runs one, `nox -s pi` all boards. Each tests the wheel, not the checkout.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.parallel = 2  # the sessions are short and spend much of their time on files
nox.options.sessions = ["runtime", "gateway"]
if os.environ.get("CI"):
    nox.options.sessions = ["runtime", "gateway", "cost", "pi(pi3)", "pi(pi5)"]
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

prefix = Path(sys.argv[2] if len(sys.argv) > 2 else sys.prefix)
expected = set(filter(None, sys.argv[1].split(",")))
packages = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "tflite": "tflite_runtime"}
engines = {engine for engine, package in packages.items() if find_spec(package)}
assert engines == expected, f"expected engines {expected or 'none'}, got {engines or 'none'}"
workstation = [name for name in ("tensorflow", "keras", "tf_keras", "pandas", "scipy") if find_spec(name)]
assert not workstation, f"in a slim environment: {workstation}"
where = Path(edge_runtime.__file__).resolve()
assert where.is_relative_to(prefix.resolve()), f"the tests would import the checkout: {where}"
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
    _test_installed(session, "tests/runtime", extra, constraints, engines)


@nox.session(python=THIS_PYTHON, requires=["wheel"], allow_parallel=True)
def gateway(session: nox.Session) -> None:
    """Run tests/gateway, without those in a browser, against the installed wheel with what a gateway has beside it."""
    page = REPOSITORY / "tests" / "gateway" / "test_page.py"  # needs a browser and what drives it
    _test_installed(session, "tests/gateway", "gateway,onnx", "runtime", "onnx", f"--ignore={page}")


def _test_installed(
    session: nox.Session, tests: str, extra: str | None, constraints: str, engines: str, *arguments: str
) -> None:
    """Run the tests of a folder against the installed wheel, with nothing of the checkout or the workstation in reach."""
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
        *("--rootdir", str(REPOSITORY), str(REPOSITORY / tests), *arguments, *session.posargs),
        env=environment,
    )


ROOTS = REPOSITORY / ".nox" / "pi"
TEST_RUNNER = ("pytest", "hypothesis")
# What these need, by name: pip must not look for numpy where it has no wheel, so it looks for nothing by itself.
ALONE = ("--no-deps", *TEST_RUNNER, "iniconfig", "packaging", "pluggy", "Pygments", "sortedcontainers")
NEWEST = (*TEST_RUNNER, "numpy", "ai-edge-litert", "onnxruntime")
BOARDS = [
    # root (suite, architecture and what is special), board, engines besides numpy, what pip installs, constraints
    nox.param("bookworm-arm64", 3, "litert,onnx", NEWEST, "runtime", id="pi3"),
    nox.param("bookworm-arm64", 4, "litert,onnx", NEWEST, "runtime", id="pi4"),
    nox.param("bookworm-arm64", 5, "litert,onnx", NEWEST, "runtime", id="pi5"),
    nox.param(
        "bookworm-arm64-litert1",
        4,
        "litert",
        (*TEST_RUNNER, "numpy", "ai-edge-litert"),
        "pi-litert1",
        id="pi4, litert 1.2.0",
    ),
    # 32 bits: the numpy of the system.
    nox.param("bookworm-armhf", 2, "tflite", (*ALONE, "tflite-runtime"), "pi-32bit", id="pi2"),
    nox.param("trixie-arm64", 5, "litert,onnx", NEWEST, "runtime", id="trixie"),
]


@nox.session(python=False, default=False, requires=["wheel"], allow_parallel=True)
def cost(session: nox.Session) -> None:
    """Count the instructions of windows, readings and starts on an emulated Raspberry Pi, and compare with benchmarks/baseline.json.

    Of this checkout's code, in a root of the boards. Arguments go to `python -m benchmarks cost`: `nox -s cost -- --update`.
    """
    root, _, _, packages, constraints = next(board.args for board in BOARDS if board.id == "pi4")
    folder = ROOTS / root
    with _locked(folder):
        _make_root(session, folder)
        _fill_root(session, folder, packages, constraints)
    environment = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks", "cost", "--root", str(folder), *session.posargs]
    session.run(*command, env=environment, external=True)


@nox.session(python=False, default=False, requires=["wheel"], allow_parallel=True)
@nox.parametrize(["root", "board", "engines", "packages", "constraints"], BOARDS)
def pi(session: nox.Session, root: str, board: int, engines: str, packages: tuple[str, ...], constraints: str) -> None:
    """Run tests/runtime on an emulated Raspberry Pi, and `anomalite verify` on bundles.

    The bundles are those of the tests and of .nox/pi/bundles. `nox -s pi -- FILE.anomalite` verifies that file on every
    board and runs no tests; other arguments go to pytest.
    """
    folder = ROOTS / root
    with _locked(folder):
        _make_root(session, folder)
        _fill_root(session, folder, packages, constraints)
    python = str(folder / "pi-python")
    environment = {
        "PI": str(board),
        "ANOMALITE_EXPECT_ENGINES": engines,
        "ANOMALITE_FEWER_EXAMPLES": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": None,
    }
    bundles = [Path(argument).resolve() for argument in session.posargs if argument.endswith(".anomalite")]
    session.chdir(ROOTS)

    def run(*arguments: str | Path) -> None:
        session.run(python, *map(str, arguments), env=environment, external=True)

    run("-c", CHECK_ENVIRONMENT, engines, folder)
    if not bundles:
        bundles = sorted((ROOTS / "bundles").glob("*.anomalite"))
        bundles += sorted((REPOSITORY / "tests" / "runtime" / "data").rglob("*.anomalite"))
        pytest = ("-m", "pytest", "-p", "no:cacheprovider", "-c", REPOSITORY / "pyproject.toml", "-m", "not heavy")
        run(*pytest, "--rootdir", REPOSITORY, REPOSITORY / "tests" / "runtime", *session.posargs)
    for bundle in bundles:
        run("-m", "edge_runtime.cli", "verify", bundle)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Boards with one root take turns to make it."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_root(session: nox.Session, root: Path) -> None:
    """Make the userland, unless it is there. Where that is impossible the session is skipped; in CI it fails."""
    suite, architecture = root.name.split("-")[:2]
    made = subprocess.run(
        [REPOSITORY / "pi" / "make-root", root, architecture, suite], stderr=subprocess.PIPE, text=True, check=False
    )
    if made.returncode == 0:
        return
    why = (made.stderr.strip().splitlines() or ["pi/make-root failed"])[-1]
    if made.returncode == 3 and not os.environ.get("CI"):
        session.skip(why)
    session.error(why)


def _fill_root(session: nox.Session, root: Path, packages: tuple[str, ...], constraints: str) -> None:
    """Install the wheel, engines and test runner, unless the very same are there."""
    (package,) = WHEELS.glob("anomalite-*.whl")
    pins = REPOSITORY / "constraints" / f"{constraints}.txt"
    key = hashlib.sha256(package.read_bytes() + pins.read_bytes() + repr(packages).encode()).hexdigest()
    stamp, site = root / "opt" / "filled", root / "opt" / "site"
    if stamp.exists() and stamp.read_text() == key:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(site, ignore_errors=True)
    for requirements in (packages, ("--no-deps", str(package))):
        command = [str(root / "pi-pip"), "install", *requirements, "--constraint", str(pins)]
        session.run(*command, env={"PYTHON": sys.executable}, external=True, silent=True)
    stamp.write_text(key)
