"""The tables of docs/arviz.md as calls of the installed ArviZ.

    python -m benchmarks.arviz_plots.table

runs all of them, and prints how many of ArviZ's plots and statistics run on trees of ours. It needs
no torch, so that it also runs where ArviZ 1.x is installed alone.
"""

import ast
import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import arviz as az
import matplotlib
import numpy as np
import xarray as xr

from benchmarks.arviz_plots import trees

PAGE = Path(__file__).parents[2] / "docs" / "arviz.md"
OLD = az.__version__.startswith("0.")
MINE = ("0.23" if OLD else "1.x", "both")
NOT_OF_DRAWS = {
    *("apply_test_function", "autocorr", "autocov", "make_ufunc", "smooth_data"),
    *("wrap_xarray_ufunc", "get_function", "get_log_likelihood", "update_subsample"),
    *("kaplan_meier", "generate_survival_curves"),
}
"""Functions of its statistics that take no draws, or are steps of another."""
WANT_A_REFIT = {"reloo", "loo_kfold", "lfo_cv", "loo_moment_match"}
"""Those that want functions which refit the model without a row, or its log density."""


class Call(NamedTuple):
    """One call of a table.

    Attributes:
        code: a Python expression.
        fails: the names of the exceptions, one of which it raises; empty where it runs.
        misleads: whether it runs and is wrong.
    """

    code: str
    fails: tuple[str, ...] = ()
    misleads: bool = False

    @property
    def name(self) -> str:
        """The function of ArviZ that is called."""
        call = ast.parse(self.code, mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Attribute)
        return call.func.attr

    def outcome(self, names: dict[str, Any]) -> Exception | None:
        """What it raises, or that a plot draws nothing; figures are closed."""
        import matplotlib.pyplot as plt

        silent = contextlib.redirect_stdout(io.StringIO())
        try:
            with silent, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                eval(self.code, names)
            is_blank = not any(axes.has_data() for axes in _axes())
        except Exception as error:
            return error
        finally:
            plt.close("all")
        if self.name.startswith("plot_") and is_blank:
            return RuntimeError("nothing is drawn")
        return None


def _axes() -> list[Any]:
    """Those of all open figures."""
    import matplotlib.pyplot as plt

    return [axes for number in plt.get_fignums() for axes in plt.figure(number).axes]


def calls() -> list[Call]:
    """Those for the installed ArviZ, in the order of the page."""
    text = PAGE.read_text(encoding="utf-8").split("## Plots and statistics")[1]
    lines = (line for line in text.splitlines() if line.startswith("| "))
    cells = [re.split(r"\s*(?<!\\)\|\s*", line)[1:-1] for line in lines]
    return [call for row in cells for call in _of_row(row)]


def _of_row(cells: list[str]) -> Iterator[Call]:
    first = _quoted(cells[0])
    if not first:
        for code in _quoted(cells[1 if OLD else 2]):
            yield Call(code)
    elif cells[1] in MINE:
        fails = tuple(re.findall(r"`(\w+Error)`", cells[2]))
        for code in first:
            yield Call(code, fails, misleads=not fails)


def _quoted(cell: str) -> list[str]:
    """The calls of a cell, which stand in backticks with commas between them."""
    code = re.fullmatch(r"`(.*)`", cell)
    if code is None:
        return []
    parsed = ast.parse(f"[{code[1]}]", mode="eval").body
    assert isinstance(parsed, ast.List)
    return [ast.unparse(part) for part in parsed.elts]


def names() -> dict[str, Any]:
    """What the calls are of."""
    tree = trees.real()
    counts = trees.whole(trees.TRIALS)
    bits = trees.whole(1)
    nuts = trees.nuts()
    return {
        "az": az,
        "np": np,
        "tree": tree,
        "row": tree.isel(observation=0),
        "two": {"observation": [0, 1]},
        "column": _column(tree),
        "other": xr.DataTree.from_dict({"posterior": _dataset(tree["resampled"])}),
        "counts": counts,
        "count": _column(counts),
        "bits": bits,
        "bit": _column(bits),
        "sized": _column(trees.whole(trees.TRIALS, sized=True)),
        "sized_bit": _column(trees.whole(1, sized=True)),
        "flat": None if OLD else trees.flattened(tree, "iteration"),
        "flat_sample": None if OLD else trees.flattened(tree, "sample"),
        "nuts": nuts,
        "chains": nuts.isel(observation=0),
        "elpds": trees.elpds(),
        "sbc": trees.calibrated(),
    }


def _column(tree: Any) -> Any:
    return tree.isel(feature=0) if OLD else tree.isel(feature=0, missing_dims="ignore")


def _dataset(group: Any) -> Any:
    return group if OLD else group.to_dataset()


def plots() -> set[str]:
    """The names of all plots of the installed ArviZ."""
    found = {name for name in dir(az) if name.startswith("plot_")}
    return {name for name in found if callable(getattr(az, name))}


def statistics() -> set[str]:
    """The names of all its statistics of draws."""
    if OLD:
        import arviz.stats as stats

        found = {*stats.__all__, *stats.diagnostics.__all__}
    else:
        import arviz_stats as stats

        found = {name for name in dir(stats) if not name.startswith("_")}
    functions = {name for name in found if name.islower() and _is_function(stats, name)}
    return {name for name in functions if not name.startswith("_")} - NOT_OF_DRAWS


def _is_function(module: Any, name: str) -> bool:
    found = getattr(module, name, None)
    return callable(found) and not isinstance(found, type)


def main() -> int:
    """Run all, print what isn't as the tables say, and count."""
    matplotlib.use("Agg")
    mine = names()
    running: set[str] = set()
    wrong = 0
    for call in calls():
        error = call.outcome(mine)
        kind = "" if error is None else type(error).__name__
        if not kind and not call.misleads:
            running.add(call.name)
        is_told = kind in call.fails if call.fails else not kind
        if not is_told:
            print(f"unlike the page: {call.code}: {kind} {error}"[:200])
            wrong += 1
    for what, every in (("plots", plots()), ("statistics", statistics())):
        left_out = ", ".join(sorted(every - running))
        count = f"{len(every & running)} of {len(every)} {what}"
        print(f"ArviZ {az.__version__}: {count} run; not: {left_out}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
