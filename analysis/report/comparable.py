"""What must hold for models to be compared: the same rows, and numbers of the same kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.vae import VAE


def require_models(models: Any, x: Any) -> None:
    """Raise ValueError unless there are two models or evidences by name, with rows for models."""
    if not isinstance(models, Mapping):
        got = type(models).__name__
        raise ValueError(
            f'models: expected names and models, got a {got}; pass a dict: {{"a": a, "b": b}}'
        )
    if len(models) < 2:
        raise ValueError(f"models: expected at least 2 to compare, got {list(models)}")
    for name, model in models.items():
        if not isinstance(model, VAE | Evidence):
            remedy = "pass run.vae" if hasattr(model, "vae") else "pass one of these"
            got = type(model).__name__
            raise ValueError(
                f"models[{name!r}]: expected a VAE or its Evidence, got a {got}; {remedy}"
            )
    fitted = [name for name, model in models.items() if isinstance(model, VAE)]
    if fitted and x is None:
        raise ValueError(
            f"x: expected rows to evaluate {fitted} on, got none; pass x, or Evidence instead of "
            "the models"
        )


def _require_same_cells(
    first: str, expected: Evidence, name: str, one: Evidence
) -> None:
    """Raise ValueError where other cells are missing: a mask of the rows that differs."""
    known = [getattr(each, "n_observed", None) for each in (expected, one)]
    counts = [one.data_size if count is None else count for count in known]
    differ = np.flatnonzero(np.broadcast_to(counts[0] != counts[1], len(one.se)))
    if len(differ):
        raise ValueError(
            "compare: expected evidence about the same observed cells, got other missing cells, "
            f"so another mask, for {name!r} than for {first!r} in {len(differ)} rows, the first of "
            f"them row {differ[0]}; evaluate all on one x"
        )


def measures_of(models: Mapping[str, VAE | Evidence]) -> dict[str, Measure | None]:
    """What p(x) of each model is: a density or a mass, of which columns; None where not known.

    Raises:
        ValueError: two models whose p(x) doesn't compare.
    """
    measures = {name: _measure(model) for name, model in models.items()}
    known = {name: measure for name, measure in measures.items() if measure is not None}
    for name, measure in known.items():
        first, expected = next(iter(known.items()))
        if measure != expected:
            raise ValueError(
                f"compare: p(x) of {first!r} and {name!r} don't compare: {expected}, and "
                f"{measure}; take models that give the same numbers, all a density or all a mass, "
                "given the same"
            )
    return measures


def _measure(model: VAE | Evidence) -> Measure | None:
    return (
        measure_of(model) if isinstance(model, VAE) else getattr(model, "measure", None)
    )


def require_same_rows(evidences: Mapping[str, Evidence]) -> None:
    """Raise ValueError unless all evidences are about the same rows in the same order."""
    sizes = {
        name: (len(one.log_marginal), one.data_size) for name, one in evidences.items()
    }
    if len(set(sizes.values())) > 1:
        each = [
            f"{name!r}: {rows} rows of {size} numbers"
            for name, (rows, size) in sizes.items()
        ]
        raise ValueError(
            f"compare: expected evidence about the same rows, got {', '.join(each)}; evaluate all "
            "on one x"
        )
    (first, expected), *others = evidences.items()
    for name, one in others:
        _require_same_cells(first, expected, name, one)
        differ = np.flatnonzero(one.row_hashes != expected.row_hashes)
        if not len(differ):
            continue
        is_permuted = np.array_equal(
            np.sort(one.row_hashes), np.sort(expected.row_hashes)
        )
        got = (
            "the same rows in another order"
            if is_permuted
            else f"{len(differ)} other rows"
        )
        raise ValueError(
            f"compare: expected evidence about the same rows in the same order, got {got} for "
            f"{name!r} than for {first!r}, the first of them row {differ[0]}; evaluate all on "
            "one x"
        )
