"""Make links that let mypy and editors find `pyro_vae.guides` and `pyro_vae.analysis`.

Run `python .ci/links.py` once in a checkout. At run time the package's `__path__` leads to the
folders `guides/` and `analysis/` at the top of the repository. Static tools don't read `__path__`;
they find the same folders in `.links/pyro_vae/`. Git ignores `.links/`.

Where the system allows no symbolic links the files are copied: run it again after each change.
"""

import os
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINKS = ROOT / ".links"


def installed_as() -> dict[str, str]:
    """Map each source in the repository to its place in the installed package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = project["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"]
    init = "pyro_vae/__init__.py"  # without it Pyright prefers the checkout's incomplete `pyro_vae`
    return {init: init, **folders}


def make_link(source: Path, link: Path) -> None:
    """Link to a file or folder; copy it where the system allows no links."""
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(
            os.path.relpath(source, link.parent), target_is_directory=source.is_dir()
        )
    except OSError:
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, link)


if __name__ == "__main__":
    shutil.rmtree(LINKS, ignore_errors=True)
    for source, target in installed_as().items():
        make_link(ROOT / source, LINKS / target)
