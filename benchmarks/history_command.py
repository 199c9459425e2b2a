"""`python -m benchmarks history`: run asv's suites, compare with the last recorded run on this machine, and record.

A run is recorded under its commit, so only when every file is as the commit has it: with changes it is measured and compared, not recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import asv.plugin_manager  # noqa: F401 - only then does asv know git
    from asv.commands.compare import Compare, unroll_result
    from asv.commands.run import Run
    from asv.config import Config
    from asv.console import log
    from asv.machine import Machine, MachineCollection
    from asv.results import Results, iter_results_for_machine
except ModuleNotFoundError as fault:
    raise SystemExit(f"history: {fault.name} is not installed: `make bench` sets it up") from None

from benchmarks.context import ONE_THREAD, commit, machine
from benchmarks.history.subjects import FOLDER_VARIABLE, make_bundles

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Tree:
    """What is measured."""

    head: str
    """The checkout's commit."""
    changed: tuple[str, ...]
    """Files that are not as the commit has them, or not in it."""

    @classmethod
    def now(cls) -> Tree:
        """Raises `SystemExit` outside a git checkout."""
        head, status = (
            subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
        if head.returncode or status.returncode:
            raise SystemExit(f"{ROOT}: history needs a git checkout: {head.stderr or status.stderr}")
        return cls(head.stdout.strip(), tuple(line[3:] for line in status.stdout.splitlines()))


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status: 1 if a benchmark failed, whatever got slower."""
    options = _parser().parse_args(arguments)
    tree = Tree.now()
    print("making the bundles to measure, where they are not there yet", flush=True)
    folder = (ROOT / options.cache).resolve()
    make_bundles(folder)
    os.environ.update(ONE_THREAD)
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ["ASV_PYTHONPATH"] = str(ROOT)  # it discards PYTHONPATH
    conf = configuration()
    recorded = Path(conf.results_dir)
    conf.results_dir = str(recorded.parent / "run")
    failed = _run(conf, options)
    (fresh,) = iter_results_for_machine(conf.results_dir, options.machine)
    fresh.params["packages"] = machine()
    before = latest(recorded, options.machine)
    if before is None:
        print(f"\nNothing to compare with yet: no run has been recorded on {options.machine}.")
    else:
        compare(conf, before, fresh, tree, options)
    print(f"\n{record(Path(conf.results_dir), recorded, fresh, tree, failed, options)}", flush=True)
    results = list(figures(fresh))
    print(json.dumps({"benchmark": "history", "machine": machine(), "commit": commit(), "results": results}))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks history", description=__doc__)
    parser.add_argument("--only", metavar="REGEX", action="append", help="suites with this in their name; not recorded")
    parser.add_argument("--quick", action="store_true", help="one call of each, to see whether they run; not recorded")
    parser.add_argument("--machine", metavar="NAME", default=os.uname().nodename, help="default: the host's name")
    parser.add_argument(
        "--factor", type=float, default=1.1, help="smaller differences are none, however significant (1.1)"
    )
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundles measured are kept")
    return parser


def configuration() -> Any:
    """asv's, with its folders to be found from any working directory."""
    conf = Config.load(str(ROOT / "asv.conf.json"))
    for name in ("repo", "benchmark_dir", "results_dir", "env_dir", "html_dir"):
        setattr(conf, name, str((ROOT / getattr(conf, name)).resolve()))
    return conf


def _run(conf: Any, options: argparse.Namespace) -> bool:
    """Run the suites into the configuration's folder of results, which is emptied first; returns whether one failed."""
    shutil.rmtree(conf.results_dir, ignore_errors=True)
    Path(conf.results_dir).mkdir(parents=True)
    # Without this file asv would ask who this machine is, and keep the answer in the home directory.
    known = str(Path(conf.results_dir) / "known-machines.json")
    MachineCollection.save(options.machine, {**Machine.get_defaults(), "machine": options.machine}, _path=known)
    log.enable()
    status = Run.run(
        conf, bench=options.only, set_commit_hash="HEAD", machine=options.machine, _machine_file=known,
        record_samples=True, show_stderr=True, quick=options.quick, pull=False,
    )  # fmt: skip
    log.flush()
    return bool(status)


def latest(folder: Path, name: str) -> Results | None:
    """The run that was recorded last on the machine of that name."""
    runs = list(iter_results_for_machine(str(folder), name)) if folder.exists() else []
    return max(runs, key=lambda run: max(run.started_at.values()), default=None)


def compare(conf: Any, before: Results, fresh: Results, tree: Tree, options: argparse.Namespace) -> None:
    """Print both runs beside each other, what got worse last."""
    packages = before.params.get("packages")
    if packages != machine():
        print(
            f"\nNot the same packages or processor: recorded with {packages}\n                     now measured with {machine()}"
        )
    now = f"{fresh.commit_hash}+"  # the same commit may be on both sides
    names = {before.commit_hash: "recorded", now: "with changes" if tree.changed else "now"}
    kept = set(fresh.get_all_result_keys()) if options.only else set(before.get_all_result_keys())
    Compare.print_table(
        conf, before.commit_hash, now, options.factor, split=True, commit_names=names,
        resultset_1=_rows(before, kept), resultset_2=_rows(fresh, set(fresh.get_all_result_keys())),
    )  # fmt: skip
    print(
        f"\n+ slower or larger, - faster or smaller, each by more than {options.factor:g} times and, for times, significantly (asv's test "
        "on the samples); ~ that much, but not significantly; x another benchmark by the same name.\n"
        "The test knows how much times vary within a run, not how much this machine varies between two: run again before believing it."
    )


def _rows(run: Results, keys: set[str]) -> Iterator[tuple[Any, ...]]:
    """As asv's comparison takes them."""
    for key in keys & set(run.get_all_result_keys()):
        params = run.get_result_params(key)
        value, stats, samples = (
            method(key, params) for method in (run.get_result_value, run.get_result_stats, run.get_result_samples)
        )
        yield key, params, value, stats, samples, run.benchmark_version.get(key), run.params["machine"], run.env_name


def record(scratch: Path, recorded: Path, fresh: Results, tree: Tree, failed: bool, options: argparse.Namespace) -> str:
    """Put the run among the recorded ones if it is one of its commit and whole; returns what was done."""
    obstacles = {
        "a benchmark failed": failed,
        "only a part was run": options.only or options.quick,
        _difference(tree): tree.changed,
        "the checkout was changed meanwhile": Tree.now() != tree,
    }
    against = [obstacle for obstacle, holds in obstacles.items() if holds]
    if against:
        return f"Not recorded: {'; '.join(against)}."
    fresh.save(str(recorded))
    for path in ("benchmarks.json", Path(options.machine) / "machine.json"):
        shutil.copyfile(scratch / path, recorded / path)
    return f"Recorded as {tree.head[:8]} on {options.machine}, in {recorded}: figures of this machine, of no use on another."


def _difference(tree: Tree) -> str:
    files = "1 file is" if len(tree.changed) == 1 else f"{len(tree.changed)} files are"
    return (
        f"{files} not as in {tree.head[:8]} ({', '.join(tree.changed[:3])}{', ...' if len(tree.changed) > 3 else ''})"
    )


def figures(run: Results) -> Iterator[dict[str, Any]]:
    """One of each benchmark and its parameters: `us_p50`, or `peak_mb`."""
    for key in run.get_all_result_keys():
        params = run.get_result_params(key)
        for name, value in unroll_result(key, params, run.get_result_value(key, params)):
            if value is None or value != value:
                continue
            yield {"name": name, "us_p50": value * 1e6} if ".time" in key else {"name": name, "peak_mb": value / 1e6}
