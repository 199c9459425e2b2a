"""The model families as a user writes them down: the name, and every other key at its default."""

from __future__ import annotations

import typing

from training.config import Model

FAMILIES = {
    family: f'[model]\nfamily = "{family}"\n'
    for spec in typing.get_args(Model)
    for family in typing.get_args(typing.get_type_hints(spec)["family"])
}
"""The configuration's `[model]` section of each family."""


def is_seeded(family: str) -> bool:
    """Whether random numbers take part in its training."""
    return family != "linear_autoencoder"
