"""Everything that training needs, read and checked before TensorFlow starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import RunError
from edge_runtime.manifest import Channel
from edge_runtime.readings import from_microseconds
from training.auto import check_room
from training.config import Auto, Config, parse_config, read_config
from training.data import NormalData, Stretch, prepare_data, read_files
from training.families import is_closed_form
from training.inputs import describe_channels
from training.labelled import EvaluationTable, leave_out_training, read_evaluation_table
from training.replace_directory import check_target
from training.run_directory import (
    RECORD,
    Run,
    read_run,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is known before training."""

    config: Config
    config_path: Path
    config_text: bytes
    channels: tuple[Channel, ...]
    data: NormalData
    data_sha256: dict[str, str]
    """Of each file, by its name in the configuration."""
    out: Path
    earlier: Run | None
    force: bool
    rows: int
    """Of the data files, before anything is left out."""
    test: EvaluationTable | None
    """What `[evaluation]` names."""
    whole: NormalData | None = None
    """For `auto`: all rows in one part, should a model in closed form be chosen."""


def plan(
    config_path: str | Path, out: str | Path | None = None, from_run: str | Path | None = None, force: bool = False
) -> Plan:
    """Read and check everything that training needs; arguments and errors as for `train`."""
    text = read_config(config_path)
    config = parse_config(text, str(config_path))
    target = Path(out) if out is not None else Path("runs") / config.name
    check_target(target, RECORD if force else None)
    earlier = None if from_run is None else read_run(from_run)
    table, sha256 = read_files(config, Path(config_path).parent)
    channels = describe_channels(config, table)
    if earlier is not None:
        _check_continues(earlier, config, channels)
    data = prepare_data(config, table, channels, None if earlier is None else earlier.manifest.scaling)
    whole = None
    if isinstance(config.model, Auto):
        check_room(in_state(data), data.sections.readings_needed)
        if any(map(is_closed_form, config.models)):
            whole = prepare_data(config, table, channels, one_part=True)
    test = _evaluation_table(config, Path(config_path).parent, channels, data, sha256)
    path, rows = Path(config_path).absolute(), len(table.times)
    return Plan(config, path, text, channels, data, sha256, target, earlier, force, rows, test, whole)


def in_state(data: NormalData) -> tuple[Stretch, ...]:
    """The early-stopping part's readings with the machine in the state to learn."""
    return data.early_stopping.in_state or data.early_stopping.stretches


def _evaluation_table(
    config: Config, folder: Path, channels: Sequence[Channel], data: NormalData, data_sha256: dict[str, str]
) -> EvaluationTable | None:
    """What to judge the detector by, read before training so that what is wrong with it is said at once."""
    given = config.evaluation
    if given is None:
        return None
    test = read_evaluation_table(
        folder / given.file,
        config.data.time_column,
        [channel.name for channel in channels],
        label=given.label,
        failure=given.failure,
        normal_until=given.normal_until,
        ignore_extra=True,
        waveform=config.waveform,
    )
    trained_to = from_microseconds(int(data.last.stretches[-1].times[-1]))
    return leave_out_training(test, data_sha256, trained_to)


def _check_continues(earlier: Run, config: Config, channels: Sequence[Channel]) -> None:
    """Raise `RunError` unless the earlier run's weights mean the same thing under this configuration."""
    before = earlier.manifest
    if isinstance(config.model, Auto):
        raise RunError(
            f"{earlier.path}: expected the run's own model to train on from it, {earlier.model.family}, got auto, which "
            "fits its candidates anew"
        )
    for what, expected, got in (
        ("model", earlier.model, config.model),
        (
            "channels",
            [(each.name, each.unit) for each in before.channels],
            [(each.name, each.unit) for each in channels],
        ),
        (
            "channels that are inputs",
            [each.name for each in before.channels if each.is_input],
            [each.name for each in channels if each.is_input],
        ),
        ("derived inputs", before.derived, config.derived),
        ("waveform", before.waveform, config.waveform),
        ("window length", before.window.length, config.window.length),
        ("kind of scaling", before.scaling.kind, config.scaling.kind),
        ("clip of the scaling", before.scaling.clip, config.scaling.clip),
    ):
        if expected != got:
            raise RunError(f"{earlier.path}: expected the run's own {what} to train on from it, {expected}, got {got}")
