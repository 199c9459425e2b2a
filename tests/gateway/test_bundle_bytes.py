"""A bundle that somebody altered, with a digest that is right again, is refused or opened: nothing else comes out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import Bundle
from edge_runtime.errors import AnomaliteError, BundleError
from edge_runtime.golden import read_golden
from edge_runtime.opening import choose_variant, open_variant

FEW = settings(max_examples=examples(80), deadline=None, derandomize=True, database=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for windows (4, 2)."""
    return handmade.sealed(tmp_path_factory.mktemp("bundle") / "whole.anomalite")


def opened(data: bytes) -> None:
    """Read it, its golden readings too, and open its model. Raises `AnomaliteError`."""
    bundle = Bundle.parse(data, "altered")
    if bundle.manifest.golden is not None:
        read_golden(bundle)
    open_variant(bundle, *choose_variant(bundle)).close()


def refused_or_opened(data: bytes) -> None:
    """One line, or none."""
    try:
        opened(data)
    except AnomaliteError as fault:
        text = str(fault)
    else:
        text = ""
    assert "\n" not in text


def test_the_whole_one_is_opened(whole: Path) -> None:
    """What is altered below is right before."""
    opened(whole.read_bytes())
    opened(handmade.pack(handmade.members_of(whole).items()))


@given(st.data())
@FEW
def test_other_bytes_anywhere(whole: Path, data: st.DataObject) -> None:
    """Put in, left out or replaced; the digest is made right again."""
    body = whole.read_bytes()[:-81]
    start = data.draw(st.integers(0, len(body)))
    changed = body[:start] + data.draw(st.binary(max_size=20)) + body[start + data.draw(st.integers(0, 20)) :]
    refused_or_opened(handmade.with_digest(changed + b"anomalite sha256 "))


@given(st.data())
@FEW
def test_other_values_anywhere_in_the_manifest(whole: Path, data: st.DataObject) -> None:
    """At any depth, with any value."""
    members = handmade.members_of(whole)
    manifest: Any = json.loads(members["manifest.json"])
    place = manifest
    while True:
        key: Any = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
        else:
            place[key] = data.draw(JSON)
            break
    refused_or_opened(handmade.pack({**members, "manifest.json": json.dumps(manifest).encode()}.items()))


@pytest.mark.parametrize("member", ["golden.npz", "model.npz"])
@given(st.data())
@FEW
def test_other_bytes_in_a_member(whole: Path, member: str, data: st.DataObject) -> None:
    """With sizes and hashes that are right again: golden readings and models are read by what they say of themselves."""
    members = handmade.members_of(whole)
    body = members[member]
    start = data.draw(st.integers(0, len(body)))
    members[member] = body[:start] + data.draw(st.binary(max_size=20)) + body[start + data.draw(st.integers(0, 20)) :]
    refused_or_opened(handmade.pack(handmade.rewrite(members).items()))


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"values": np.zeros(3)},
        {"values": np.zeros((3, 2)), "times": np.zeros(2, np.int64), "status_codes": np.zeros(3, np.uint8)},
        {"values": np.array([["a", "b"]]), "times": np.zeros(1, np.int64), "status_codes": np.zeros(1, np.uint8)},
        {"values": np.zeros((1, 2)), "times": np.array(["x"]), "status_codes": np.array([200])},
        {"values": np.zeros((1, 2), complex), "times": np.array([np.inf]), "status_codes": np.array([0])},
    ],
)
def test_golden_readings_of_another_form(whole: Path, columns: dict[str, Any]) -> None:
    """Are refused by name."""
    scores = {"scores.numpy-float32": np.zeros(len(columns.get("values", ())))}
    members = {**handmade.members_of(whole), "golden.npz": handmade.npz(**columns, **scores)}
    with pytest.raises(BundleError):
        opened(handmade.pack(handmade.rewrite(members).items()))
