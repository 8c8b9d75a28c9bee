"""log p of the observed cells of rows: their number, and conditional densities of columns."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import Columns, require_at_random
from pyro_vae.analysis.marginal_likelihood.measure import Measure
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.results.tables import column_names
from pyro_vae.data.row_labels import row_labels
from pyro_vae.explain import nearest
from pyro_vae.given import with_x
from pyro_vae.inputs import model_rows, own_part, rows_of
from pyro_vae.likelihoods.column_ranges import ranges
from pyro_vae.vae import VAE

__all__ = [
    "between_columns",
    "column_positions",
    "observed_cells",
    "without_observed_cells",
]

Chosen = Sequence[str | int]


def observed_cells(rows: Tensor, measure: Measure | None) -> list[int]:
    """The number of observed cells of each row that have a density or a probability.

    Example:
        >>> observed_cells(torch.tensor([[0.0, torch.nan], [1.0, 2.0]]), None)
        [1, 2]
    """
    observed = ~rows.flatten(1).isnan()
    if measure is not None:
        modelled = sorted(measure.columns("density") + measure.columns("mass"))
        observed = observed[:, modelled]
    counts: list[int] = observed.sum(1).tolist()
    return counts


def without_observed_cells(columns: Columns, count: np.ndarray) -> Columns:
    """The same estimates, with log p = 0 for the rows that have no observed cell: an integral of 1.

    Arguments:
        columns: arrays of `Evidence` by name.
        count: of the observed cells in each row.
    """
    empty = count == 0
    exact = {"log_marginal": 0.0, "se": 0.0, "pareto_k": -np.inf, "upper": np.nan}
    found = dict(columns)
    for name, value in exact.items():
        found[name] = np.where(empty, value, columns[name])
    return found


def between_columns(
    evidence: Callable[..., Evidence],
    *,
    vae: VAE,
    x: Any,
    context: Any,
    columns: Chosen | None,
    given: Chosen | None,
    **how: Any,
) -> Evidence:
    """log p(x_a | x_b) = log p(x_a, x_b) - log p(x_b), from an estimate of each.

    The estimates have draws of their own, so that the standard error is √(se² + se²); where no cell
    of a is observed both are one number, and the difference is 0. The draws of both are to be
    trusted: k-hat is the larger, and the effective number of draws the smaller of the two. There is
    no ELBO of a difference.

    Arguments:
        evidence: the function that estimates log p(x) of rows.
        vae: a model for rows with missing cells.
        x: the rows.
        context: of the rows, for a model that has one.
        columns: a, by name or position; None: all that are not given.
        given: b, by name or position; without any it is log p(x_a).
        **how: further arguments of `evidence`.

    Raises:
        ValueError: a model without missing cells, or whose missing cells depend on their values;
            unknown columns; columns that are in both, or
            twice in one.
    """
    require_at_random(vae, "evidence of columns")
    of_a, of_b = _chosen(vae, x, columns, () if given is None else given)
    whole = x if vae.spec.context is None else model_rows(vae, x, context=context)
    rows = torch.cat(list(rows_of(vae, whole, "x"))).cpu()
    both = evidence(vae, _only(vae, rows, [*of_a, *of_b]), **how)
    labels = row_labels(x, vae.spec.table)
    if not of_b:
        return replace(_of_columns(both, of_a, []), row_labels=labels)
    condition = evidence(vae, _only(vae, rows, of_b), **how)
    return replace(_difference(both, condition, of_a, of_b), row_labels=labels)


def _difference(
    both: Evidence, condition: Evidence, of_a: list[int], of_b: list[int]
) -> Evidence:
    unknown = np.full_like(both.elbo, np.nan)
    count = _count(both) - _count(condition)
    error = np.hypot(both.se, condition.se)
    is_same = both.method == condition.method
    methods = np.char.add(np.char.add(both.method.astype(str), " / "), condition.method)
    found = _of_columns(both, of_a, of_b)
    return replace(
        found,
        log_marginal=both.log_marginal - condition.log_marginal,
        se=np.where(count == 0, 0.0, error),
        elbo=unknown,
        proposal_elbo=unknown,
        upper=unknown,
        ess=np.minimum(both.ess, condition.ess),
        pareto_k=np.maximum(both.pareto_k, condition.pareto_k),
        num_particles=np.minimum(both.num_particles, condition.num_particles),
        reached=np.where(condition.reached == "cap", "cap", both.reached),
        retried=both.retried | condition.retried,
        method=np.where(is_same, both.method, methods),
        n_observed=count,
        seconds=both.seconds + condition.seconds,
    )


def _count(found: Evidence) -> np.ndarray:
    assert found.n_observed is not None
    return found.n_observed


def _of_columns(found: Evidence, of_a: list[int], of_b: list[int]) -> Evidence:
    """The evidence with the measure of some columns, given others."""
    if found.measure is None:
        return replace(found, data_size=len(of_a))
    conditions = [found.measure.given] if found.measure.given else []
    if of_b:
        conditions.append(f"columns {ranges(sorted(of_b))}")
    label = found.measure.label
    if of_b and label:  # log p(x_b, y) is subtracted
        conditions.append(f"the label {label.removeprefix('known')}".rstrip())
        label = ""
    parts: dict[str, Any] = {
        kind: ranges(sorted(set(found.measure.columns(kind)) & set(of_a)))
        for kind in ("density", "mass")
    }
    given = " and ".join(conditions)
    measure = replace(found.measure, **parts, given=given, label=label)
    return replace(found, measure=measure, data_size=measure.size)


def _only(vae: VAE, rows: Tensor, columns: list[int]) -> np.ndarray:
    """The rows with these columns of the flattened row alone; all others are missing."""
    x = own_part(vae, rows)
    kept = torch.full_like(x, torch.nan)
    kept.flatten(1)[:, columns] = x.flatten(1)[:, columns]
    return with_x(vae, rows, kept).numpy()


def _chosen(
    vae: VAE, x: Any, columns: Chosen | None, given: Chosen
) -> tuple[list[int], list[int]]:
    """The positions of the columns a and b in the flattened row."""
    if vae.spec.missing == "none":
        raise ValueError(
            "evidence: columns of a row need a model that knows rows with missing cells, got one "
            "with missing='none'; make it with missing='at_random' and fit it to rows with "
            "missing cells"
        )
    size = torch.Size(vae.spec.data_shape).numel()
    names = column_names(x)
    if vae.spec.table is not None:
        names = list(vae.spec.table.names)
    of_b = column_positions(given, names, size, "given")
    if columns is None:
        of_a = [position for position in range(size) if position not in set(of_b)]
    else:
        of_a = column_positions(columns, names, size, "columns")
    overlap = sorted(set(of_a) & set(of_b))
    if overlap:
        raise ValueError(
            f"given: expected other columns than those of columns=, got {ranges(overlap)} in both; "
            "leave them out of one"
        )
    if not of_a:
        raise ValueError(
            "given: expected at least one column that is not given, got all of them; leave one out"
        )
    return of_a, of_b


def column_positions(
    chosen: Chosen, names: list[str] | None, size: int, argument: str
) -> list[int]:
    """The positions of columns in the flattened row.

    Arguments:
        chosen: names or positions.
        names: of the columns of a row, where they are known.
        size: numbers in a row.
        argument: for messages.

    Raises:
        ValueError: unknown columns, or one twice.

    Example:
        >>> column_positions(["b", 0], ["a", "b"], 2, "columns")
        [1, 0]
    """
    if isinstance(chosen, str | int):
        chosen = [chosen]
    found = [_position(one, names, size, argument) for one in chosen]
    if len(set(found)) < len(found):
        raise ValueError(f"{argument}: expected each column once, got {list(chosen)}")
    return found


def _position(one: str | int, names: list[str] | None, size: int, argument: str) -> int:
    if isinstance(one, str):
        if names is None:
            raise ValueError(
                f"{argument}: expected positions of columns, since neither the model nor the rows "
                f"have names, got {one!r}; take 0 to {size - 1}, or fit to a table"
            )
        if one not in names:
            raise ValueError(
                f"{argument}: unknown column {one!r}; {nearest(one, names)}"
            )
        return names.index(one)
    if not 0 <= one < size:
        raise ValueError(
            f"{argument}: expected a column from 0 to {size - 1}, got {one}"
        )
    return int(one)
