"""Whether the files of one line of ArviZ hold on the other what was in memory, bit for bit.

    python -m benchmarks.arviz_plots.files write FOLDER     # with one ArviZ
    python -m benchmarks.arviz_plots.files read FOLDER      # with the other

Where torch is installed, the draws of a model are among the trees.
"""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np

from benchmarks.arviz_plots import trees
from pyro_vae.analysis.bridge.netcdf import write_netcdf


def plain() -> dict[str, Any]:
    """Trees of arrays."""
    return {
        "real": trees.real(),
        "counts": trees.whole(trees.TRIALS, sized=True),
        "nuts": trees.nuts(),
    }


def drawn() -> dict[str, Any]:
    """Draws of a model of a table with a missing cell, labels and names, with all groups."""
    import pandas as pd

    import pyro_vae as pv

    rows = pd.DataFrame(
        {"height": [1.5, 1.7, 1.6, 1.9], "grade": [0.0, 2.0, 1.0, 2.0]},
        index=pd.Index(["ann", "bob", "eve", "kim"]),
    )
    rows.loc["eve", "height"] = np.nan
    columns = [
        {"columns": 0, "kind": "normal"},
        {"columns": 1, "kind": "ordinal", "num_classes": 3},
    ]
    likelihood = {"kind": "mixed", "columns": columns}
    vae = pv.VAE(
        data_shape=(2,), latent_dim=2, likelihood=likelihood, missing="at_random"
    )
    imputation = pv.impute(vae, rows, num_imputations=3, num_particles=50)
    tree = pv.to_arviz(
        vae, rows, num_samples=20, imputation=imputation, log_likelihood=True
    )
    return {"drawn": tree}


def write(folder: Path, by_name: Mapping[str, Any]) -> None:
    """Each tree as netCDF, and the arrays that it has in memory beside it."""
    for name, tree in by_name.items():
        write_netcdf(tree, folder / f"{name}.nc")
        np.savez(folder / f"{name}.npz", **arrays(tree))


def arrays(tree: Any) -> dict[str, np.ndarray]:
    """All variables and coordinates by group and name; text as text of one width."""
    datatree = tree.to_datatree() if hasattr(tree, "to_datatree") else tree
    found = {}
    for group, node in datatree.children.items():
        for name, variable in node.dataset.variables.items():
            values = np.asarray(variable.values)
            is_text = values.dtype.kind in "OUT"
            found[f"{group}/{name}"] = values.astype(str) if is_text else values
            found[f"{group}/{name} dims"] = np.array(variable.dims)
    return found


def differences(folder: Path) -> list[str]:
    """What a file has otherwise than memory had: tree, group and variable."""
    unlike = []
    for path in sorted(folder.glob("*.nc")):
        expected = dict(np.load(path.with_suffix(".npz")))
        read = az.from_netcdf(str(path))
        found = arrays(read)
        read.close()
        unlike += [
            f"{path.stem}: {key}"
            for key in sorted({*expected, *found})
            if not _same(expected.get(key), found.get(key))
        ]
    return unlike


def _same(expected: np.ndarray | None, found: np.ndarray | None) -> bool:
    if expected is None or found is None:
        return False
    is_alike = expected.dtype == found.dtype and expected.shape == found.shape
    return is_alike and expected.tobytes() == found.tobytes()


def main() -> int:
    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "write":
        has_torch = importlib.util.find_spec("torch") is not None
        write(folder, plain() | (drawn() if has_torch else {}))
        return 0
    unlike = differences(folder)
    count = len(list(folder.glob("*.nc")))
    print(
        f"ArviZ {az.__version__}: {count} files, {len(unlike)} variables differ",
        *unlike,
    )
    return int(bool(unlike) or not count)


if __name__ == "__main__":
    sys.exit(main())
