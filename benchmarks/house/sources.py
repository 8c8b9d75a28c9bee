"""The files that are shipped, by the names that they are imported under."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "pyro_vae": "pyro_vae",
    "pyro_vae.analysis": "analysis",
    "pyro_vae.guides": "guides",
}
"""Packages, and their folders at the top of the repository, which a clone may not link."""


def sources(root: Path = ROOT) -> dict[str, Path]:
    """Each module of ours and its file."""
    found: dict[str, Path] = {}
    for package, folder in FOLDERS.items():
        found |= modules(root / folder, package)
    return found


def modules(folder: Path, package: str) -> dict[str, Path]:
    """Each module of a package and its file; links are not followed."""
    found = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix == ".py":
                parts = [package, *path.relative_to(folder).with_suffix("").parts]
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


def package_of(module: str, path: Path) -> str:
    """The package that a module is in; a package is in itself."""
    return module if path.name == "__init__.py" else module.rpartition(".")[0]
