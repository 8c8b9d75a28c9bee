"""Draws from a fitted model, for ArviZ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.bridge.arviz_objects import library_attributes, to_datatree
from pyro_vae.analysis.bridge.column_variables import variable_names
from pyro_vae.analysis.bridge.imputed import imputed_cells, require_same_holes
from pyro_vae.analysis.bridge.row_layout import RowLayout
from pyro_vae.analysis.bridge.variational import (
    encoded,
    importance,
    numbers_of,
    resampled,
)
from pyro_vae.analysis.fitted import as_numpy, evaluation, has_density, posterior_of
from pyro_vae.analysis.imputation.results import Imputation
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.arguments import public
from pyro_vae.data.columns import RANDOM_EFFECT
from pyro_vae.given import with_context
from pyro_vae.inputs import model_rows, own_part, placement_of, rows_of
from pyro_vae.likelihoods.base import given
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

Groups = dict[str, Mapping[str, np.ndarray]]
GIBIBYTE = 2**30
NEW_LEVEL = "(new level)"
"""In constant_data: a level of a random effect that the model doesn't know."""


@public
def to_arviz(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_samples: int = 1000,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    rows: Sequence[Any] | None = None,
    evidence: Evidence | None = None,
    imputation: Imputation | None = None,
    log_likelihood: bool = False,
    max_bytes: int = GIBIBYTE,
) -> Any:
    """Posterior, prior and predictive draws for some rows, as what the installed ArviZ takes.

    Groups: posterior z ~ q(z | x), posterior_predictive x ~ p(x | z), prior z ~ p(z),
    prior_predictive x ~ p(x | z), observed_data, and sample_stats with log_p = log p(x, z), log_q =
    log q(z | x) and log_weight = log_p - log_q of each draw and row in nats. The draws are
    independent: R-hat and ESS say nothing about them; `audit(...).to_arviz()` has chains by NUTS.

    The group resampled holds the draws of the guide resampled by those weights, z ~ p(z | x) as far
    as the weights allow, with k-hat and the effective number of draws of each row as the
    coordinates pareto_k and ess. The group variational holds loc and scale of q(z | x), its
    scale_tril where it has one, and of each row elbo, rate = KL(q(z | x) ‖ p(z)), log_marginal =
    log p(x) with its standard error se, pareto_k and ess: from these draws alone, or those of
    `evidence`, which fits a proposal to each row and is more accurate.

    The group log_likelihood, log p(x | z), is there only on request, since `az.loo` on it is wrong
    here. Leaving a row out leaves its z out: what is left is its prior, and the held-out density of
    the row is p(x), which is `log_marginal`. `az.loo` takes the harmonic mean of p(x | z) over
    draws of z that have seen the row, whose variance is infinite for most models: for a linear
    Gaussian one it is about 0.7 nats a row too good with exact draws of the posterior.
    `evidence(...).to_elpd()` is what `az.compare` should get.

    Bits, counts and categories are integers, which ArviZ draws as steps. Where some columns of a
    table are whole numbers and some are real, there is no x: each column is a variable, with the
    name of the column, or x[0], x[1], ... What the model conditions on, such as a size factor, is
    in the group constant_data, under such a name.

    References:
        ArviZ a unified library for exploratory analysis of Bayesian models in Python (Kumar,
        Carroll, Hartikainen, Martin, 2019).

    Arguments:
        vae: the model. An autoencoder has posterior and posterior_predictive only.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row; None finds its columns in the
            table x. It is in constant_data, and z ~ p(z | c), x ~ p(x | z, c). An unknown label is
            the most probable one.
        num_samples: draws for each row.
        seed: of the draws.
        columns: names of the features of one-dimensional data; those of a DataFrame by default.
        rows: labels of the rows; by default those that x has, such as the index of a DataFrame.
        evidence: what `evidence` gives for the same rows, for the group variational; None for a
            model with a label, which is given here and not there.
        imputation: what `impute` gives for the same rows; its completed tables become the group
            imputations, and the cells that were missing the group imputed_cells, one draw for each
            table.
        log_likelihood: whether to add log p(x | z).
        max_bytes: the most memory that the draws may take.

    Returns:
        `arviz.InferenceData` with ArviZ 0.x, `xarray.DataTree` with 1.x; dims chain, draw,
        observation, latent.

    Raises:
        ValueError: no rows or draws, more memory than allowed, rows that don't fit the model,
            another number of labels or names, names that are not those of the model, evidence or
            imputed tables of other rows.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> tree = to_arviz(vae, torch.zeros(3, 4), num_samples=10)
        >>> dict(tree["posterior"].sizes)
        {'chain': 1, 'draw': 10, 'observation': 3, 'latent': 2}
    """
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
    whole = model_rows(vae, with_context(vae, x, context))
    _require_room(vae, len(whole), num_samples, max_bytes)
    layout = RowLayout.of(vae, x, columns, rows)
    with evaluation(vae):
        data = torch.cat(list(rows_of(vae, whole, "x")))
        known = None if evidence is None else numbers_of(evidence, vae, data)
        if imputation is not None:
            require_same_holes(imputation, as_numpy(own_part(vae, data)))
        with own_seed(seed, data.device):
            drawn = _Drawn.of(vae, data, num_samples)
            groups = _posterior(vae, drawn, layout)
            if log_likelihood:
                groups["log_likelihood"] = {"x": as_numpy(drawn.log_likelihood)}
            if has_density(vae):
                groups |= _prior(vae, drawn, layout)
                groups |= _weighted(drawn, known)
    cells: list[str] | None = None
    if imputation is not None:
        groups["imputations"] = layout.variables(imputation.numbers())
        missing = imputed_cells(imputation, layout)
        if missing.names:
            groups["imputed_cells"] = missing.group
            cells = missing.names
    return to_datatree(
        groups,
        attrs=library_attributes() | {"spec": vae.spec.model_dump_json()},
        columns=layout.features,
        rows=layout.labels,
        cells=cells,
        scalars=layout.table.scalars,
    )


class _Drawn(NamedTuple):
    """Draws of the guide for some rows, and what the model says of them."""

    x: Tensor
    context: Tensor | None
    q: Distribution
    z: Tensor
    prior: Distribution
    p: Distribution

    @classmethod
    def of(cls, vae: VAE, rows: Tensor, num_samples: int) -> "_Drawn":
        x, context = vae.model.split(rows)
        q = posterior_of(vae, rows)
        z = q.sample(torch.Size([num_samples]))
        prior, p = vae.model.p_z(context), vae.model.p_x(z, context)
        return cls(x, context, q, z, prior, p)

    @property
    def log_likelihood(self) -> Tensor:
        """log p(x | z), (draws, rows)."""
        density: Tensor = self.p.log_prob(self.x)
        return density


def _posterior(vae: VAE, drawn: _Drawn, layout: RowLayout) -> Groups:
    predicted = given(drawn.p, drawn.x).sample()
    groups: Groups = {
        "posterior": {"z": as_numpy(drawn.z)},
        "posterior_predictive": layout.variables(predicted),
        "observed_data": layout.variables(drawn.x),
    }
    table = layout.table
    constants = table.constants(as_numpy(drawn.x)) if table.given else {}
    if drawn.context is not None:
        constants = {**constants, **_contexts(vae, as_numpy(drawn.context))}
    if constants:
        groups["constant_data"] = constants
    return groups


def _contexts(vae: VAE, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The contexts of the rows by the names of their columns, or as c[0], c[1], ..."""
    schema = None if vae.spec.context is None else vae.spec.context.table
    columns = numbers.T
    if schema is None:
        names = variable_names(None, len(columns), "c")
        return dict(zip(names, columns, strict=True))
    own_names = [column.name for column in schema.modelled]
    names = variable_names(own_names, len(columns), "c")
    cells = {}
    for name, column, values in zip(names, schema.modelled, columns, strict=True):
        decoded = column.decoded(values)
        if column.kind == RANDOM_EFFECT:
            decoded[values == len(column.levels or ())] = NEW_LEVEL
        cells[name] = decoded.astype(str) if column.levels else decoded
    return cells


def _prior(vae: VAE, drawn: _Drawn, layout: RowLayout) -> Groups:
    num_samples, rows = drawn.z.shape[:2]
    shape = [num_samples] if drawn.prior.batch_shape else [num_samples, rows]
    z = drawn.prior.sample(torch.Size(shape))
    x = vae.model.p_x(z, drawn.context).sample()
    return {
        "prior": {"z": as_numpy(z)},
        "prior_predictive": layout.variables(x),
    }


def _weighted(drawn: _Drawn, known: dict[str, np.ndarray] | None) -> Groups:
    """The weights of the guide's draws, and what follows from them for each row."""
    log_prior = drawn.prior.log_prob(drawn.z)
    log_p = log_prior + drawn.log_likelihood
    log_q = drawn.q.log_prob(drawn.z)
    log_weight = log_p.double() - log_q.double()
    found = importance(log_weight, log_p.dtype)
    codes = encoded(drawn.q, drawn.prior, log_q - log_prior)
    z = resampled(drawn.z, log_weight)
    beside = {name: found[name] for name in ("pareto_k", "ess")}
    return {
        "sample_stats": {
            "log_p": as_numpy(log_p),
            "log_q": as_numpy(log_q),
            "log_weight": as_numpy(log_weight),
        },
        "resampled": {"z": as_numpy(z), **beside},
        "variational": {**codes, **(found if known is None else known)},
    }


def _require_room(vae: VAE, rows: int, num_samples: int, max_bytes: int) -> None:
    """Raise ValueError where draws of posterior, prior and resampled would take too much."""
    size = placement_of(vae).dtype.itemsize
    latent = vae.spec.latent_dim
    numbers = 3 * latent + 2 * math.prod(vae.spec.data_shape)
    needed = size * rows * num_samples * numbers
    if needed > max_bytes:
        raise ValueError(
            f"to_arviz: {num_samples} draws for {rows} rows would take {needed / GIBIBYTE:.1f} "
            f"GiB, and max_bytes is {max_bytes / GIBIBYTE:.1f} GiB; pass fewer rows (x[:50]), a "
            f"smaller num_samples, or max_bytes={needed}"
        )
