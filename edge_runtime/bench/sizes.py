"""What packages take on the disk, and which versions they are."""

from __future__ import annotations

import os
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec

OURS = "anomalite"
OUR_PACKAGES = ("edge_runtime", "training", "export")
"""One distribution holds them all."""


def installed_mb(packages: tuple[str, ...]) -> dict[str, float]:
    """Millions of bytes on the disk of this distribution, called `anomalite`, and of the given import packages."""
    ours = sum(_folder_bytes(package) for package in OUR_PACKAGES)
    sizes = {OURS: max(ours, _listed_bytes(OURS))}
    for package in packages:
        # A distribution may have more than its package (numpy.libs), and one may be installed that lists no files (Debian's).
        sizes[package] = max(_folder_bytes(package), _listed_bytes(package))
    return {name: size / 1e6 for name, size in sizes.items()}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The version of each import package's distribution, as far as it is known."""
    found = {package: _distribution(package) for package in packages}
    return {package: each.version for package, each in found.items() if each is not None}


def _distribution(package: str) -> Distribution | None:
    try:
        return distribution(package.replace("_", "-"))
    except PackageNotFoundError:
        return None


def _listed_bytes(package: str) -> int:
    found = _distribution(package)
    files = (found.files if found is not None else None) or []
    return sum(_size(str(file.locate())) for file in files)


def _folder_bytes(package: str) -> int:
    """Everything below an import package's folder, compiled files too."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    return sum(
        _size(os.path.join(folder, name)) for top in folders for folder, _, names in os.walk(top) for name in names
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
