"""The model's inputs: which channels there are, and the scaling of what the model is given of them.

The scaling of the channels is fitted to what was measured, that of derived inputs to what the device's own preparation derives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns
from edge_runtime.errors import InputError
from edge_runtime.manifest import Channel, PreparationSections, Scaling
from edge_runtime.prepare import Preparation
from edge_runtime.scale import Scale, fit_scaling
from edge_runtime.score import LEAST_SPREAD
from edge_runtime.tables import Table
from training.config import Config, ScalingRule

if TYPE_CHECKING:
    from training.data import Stretch

NOTHING = Scaling("standard", (), ())
"""The scaling of no input."""


def describe_channels(config: Config, table: Table) -> tuple[Channel, ...]:
    """The channels of a table that was read for the configuration. Raises `InputError` if what is said of them does not fit."""
    if config.waveform is None:
        channels = config.channels or tuple(Channel(name) for name in table.channels)
    else:
        said = {channel.name: channel for channel in config.channels or ()}
        unknown = [name for name in said if name not in table.channels]
        if unknown:
            raise InputError(
                f"{table.source}: expected channels of the waveform ({', '.join(table.channels)}), got {unknown[0]!r}"
            )
        channels = tuple(replace(said.get(each.name, each), unit=each.unit) for each in config.waveform.columns)
    sections = PreparationSections(channels, config.sampling, config.cleaning, NOTHING, config.window)
    try:
        _ = sections._replace(derived=config.derived).input_names
    except ValueError as fault:
        raise InputError(f"{table.source}: {fault}") from None
    return channels


def fit_channels(rule: ScalingRule, channels: Sequence[Channel], measured: npt.NDArray[np.float64]) -> Scaling:
    """The scaling of the channels that are inputs, fitted to `measured` (N, C), NaN where there is nothing to be used.

    Raises `TrainingError` as `fit_scaling`.
    """
    given = [channel for channel in channels if channel.is_input]
    if not given:
        return replace(NOTHING, kind=rule.kind, clip=rule.clip)
    columns = measured[:, [channel.is_input for channel in channels]]
    names, resolutions = [channel.name for channel in given], [channel.resolution for channel in given]
    return fit_scaling(rule.kind, columns, names, rule.clip, resolutions)


def fit_derived(sections: PreparationSections, stretches: Sequence[Stretch]) -> Scaling:
    """The scaling of all inputs: `sections.scaling`, which is of the channels, and that of the derived inputs after it.

    It is fitted to every row that would enter a window. The time of day keeps its own measure: a few hours of it are not its
    spread. Raises `TrainingError` as `fit_scaling`.
    """
    given = sections.scaling
    names = [name for each in sections.derived for name in each.names]
    is_fitted = np.array([each.kind != "time_of_day" for each in sections.derived for _ in each.names], np.bool_)
    centers, scales = np.zeros(len(names)), np.ones(len(names))
    if is_fitted.any():
        unscaled = _join(given, centers, scales)
        inputs = _Listener(unscaled)
        preparation = Preparation(sections._replace(scaling=unscaled), scale=inputs)
        for stretch in stretches:
            preparation.reset(0)
            for values, time in zip(stretch.values.tolist(), stretch.times.tolist(), strict=True):
                preparation.step(0, values, time)
        derived = np.array(inputs.rows).reshape(-1, len(unscaled.center))[:, len(given.center) :]
        found = fit_scaling(given.kind, derived[:, is_fitted], [names[i] for i in np.flatnonzero(is_fitted)])
        centers[is_fitted], scales[is_fitted] = found.center, found.scale
    return _join(given, centers, scales)


def _join(scaling: Scaling, centers: npt.NDArray[np.float64], scales: npt.NDArray[np.float64]) -> Scaling:
    center, scale = (*scaling.center, *centers.tolist()), (*scaling.scale, *scales.tolist())
    return replace(scaling, center=center, scale=scale)


class _Listener(Scale):
    """Keeps the inputs that come to be scaled."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__(scaling)
        self.rows: list[list[float]] = []

    def step(self, values: Columns) -> list[Any]:
        self.rows.append(list(values))
        return super().step(values)


def least_residuals(sections: PreparationSections) -> npt.NDArray[np.float64]:
    """The smallest residual (F,) of each input, scaled, that the score takes for its normal size: a channel's resolution.

    A channel that a model gets exactly right would otherwise make a change far below its resolution anomalous.
    """
    least = np.full(len(sections.input_names), LEAST_SPREAD)
    given = [channel for channel in sections.channels if channel.is_input]
    for place, (channel, scale) in enumerate(zip(given, sections.scaling.scale, strict=False)):  # derived inputs follow
        if channel.resolution is not None:
            least[place] = max(LEAST_SPREAD, channel.resolution / scale)
    return least
