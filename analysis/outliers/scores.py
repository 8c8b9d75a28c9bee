"""Which rows are unlikely under a model, how unlikely, and because of which columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.outliers.columns import (
    WHY,
    Shares,
    column_shares,
    factorises,
    names_of,
)
from pyro_vae.analysis.outliers.conformal import low_p_value, typicality_p_value
from pyro_vae.analysis.outliers.results import Anomaly
from pyro_vae.analysis.results.tables import column_labels
from pyro_vae.arguments import public
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import with_context
from pyro_vae.inputs import rows_of
from pyro_vae.vae import VAE

REFERENCE_SHARES = 500
"""Reference rows whose mean share of each column is what is usual."""


@public
def anomaly(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    reference: Any = None,
    columns: Sequence[str] | None = None,
    shares: bool | None = None,
    num_particles: int = 1000,
    num_samples: int = 500,
    seed: int = 0,
    progress: bool | None = None,
) -> Anomaly:
    """Score rows by log p(x), with calibrated p-values, typicality and the share of each column.

    p = (1 + #{log p of a reference row ≤ log p(x)}) / (m + 1) for m reference rows

    is at most a with probability at most a for a row like the reference rows, whatever the model
    and however rough its estimate of log p, which is the same for both; it is only as sharp as both
    are good. The reference rows must not have been fitted to: those are too likely, and every new
    row then seems an outlier.

    A low log p(x) is not what makes a row strange to a person, and a high one is no proof of the
    contrary. Densities of images follow their smoothness and contrast: models of CIFAR-10 find SVHN
    more likely than CIFAR-10 (Nalisnick et al., 2019), and an empty image may be the likeliest of
    all. So look at `typicality_p_value` too, which is small for a row that is too likely. log p(x)
    of densities also depends on the units of x: a monotone transform of a column changes the order
    of the rows. Whole-row scores miss what a single column shows when there are many: see `excess`.

    References:
        Do Deep Generative Models Know What They Don't Know? (Nalisnick, Matsukawa, Teh, Gorur,
        Lakshminarayanan, 2019), for what log p(x) can't tell.
        Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality (Nalisnick,
        Matsukawa, Teh, Lakshminarayanan, 2019).
        Testing for Outliers with Conformal p-values (Bates, Candès, Lei, Romano, Sesia, 2023).

    Arguments:
        vae: a fitted model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        reference: ordinary rows that the model was not fitted to, (m, *data_shape), or for a model
            with a context a pair of such rows and their contexts; None for no p-values.
        columns: names of the numbers of a row; by default those that the model or the data have.
        shares: whether to compute the share of each column in log p(x); None where p(x | z) is a
            product over columns.
        num_particles: draws of each row for log p(x), as in `evidence`.
        num_samples: draws of each row for the shares.
        seed: of the draws.
        progress: whether to show bars; None shows them on a terminal or in a notebook.

    Returns:
        `Anomaly`; print it.

    Raises:
        ValueError: no rows, rows that don't fit the model, an autoencoder, other names than
            columns; shares=True for a likelihood that is no product over columns.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> few = {"num_particles": 50, "num_samples": 20}
        >>> found = anomaly(vae, torch.zeros(3, 4), reference=torch.ones(9, 4), **few)
        >>> found.p_value.shape, found.shares.shape, len(found.to_dataframe())
        ((3,), (3, 4), 3)
    """
    given_names = columns
    if columns is None:
        given_names = column_labels(x, vae.spec.table)
    names = names_of(given_names, vae.spec.data_shape)
    rows = with_context(vae, x, context)
    has_shares = False
    if shares is not False:
        first_row = next(rows_of(vae, rows, "x"))[:1]
        has_shares = factorises(vae, first_row)
    if shares and not has_shares:
        raise ValueError(f"shares: {WHY}")
    if num_samples < 2:
        raise ValueError(f"num_samples: expected at least 2, got {num_samples}")
    # all reference rows are checked here, before anything takes long
    reference, given = _apart(vae, reference)
    usual_rows = None if reference is None else _first_rows(vae, reference, given)
    how: dict[str, Any] = {"seed": seed, "progress": progress}
    ordinary = None
    if reference is not None:
        how_many = {"context": given, "num_particles": num_particles}
        ordinary = evidence(vae, reference, **how_many, **how)
    scored = evidence(vae, x, context=context, num_particles=num_particles, **how)
    parts: dict[str, Any] = {
        "shares": None,
        "share_se": None,
        "usual": None,
        "usual_rate": np.nan,
    }
    if has_shares:
        own = column_shares(vae, rows, num_samples=num_samples, **how)
        if usual_rows is None or ordinary is None:
            parts = _parts(own, own, scored.log_marginal)
        else:
            usual = column_shares(vae, usual_rows, num_samples=num_samples, **how)
            parts = _parts(own, usual, ordinary.log_marginal)
    return Anomaly(
        log_marginal=scored.log_marginal,
        se=scored.se,
        trusted=~scored.unreliable,
        **_scores(scored, ordinary),
        **parts,
        column_names=names,
        row_labels=row_labels(x, vae.spec.table),
    )


def _parts(own: Shares, others: Shares, log_marginal: np.ndarray) -> dict[str, Any]:
    """The shares of the rows, and what is usual by those of others.

    Arguments:
        own: of the rows.
        others: of other rows.
        log_marginal: log p(x) of these other rows, and maybe of more.
    """
    usual = others.value.mean(0)
    mean = log_marginal[: len(others.value)].mean()
    return {
        "shares": own.value,
        "share_se": own.se,
        "usual": usual,
        "usual_rate": float(usual.sum() - mean),
    }


def _apart(vae: VAE, reference: Any) -> tuple[Any, Any]:
    """The reference rows and their contexts, which may come as a pair."""
    if vae.spec.context is not None and isinstance(reference, tuple):
        rows, context = reference
        return rows, context
    return reference, None


def _first_rows(vae: VAE, reference: Any, context: Any) -> Tensor:
    """The rows whose shares are what is usual; all reference rows are checked."""
    parts: list[Tensor] = []
    count = 0
    rows = with_context(vae, reference, context, "reference")
    for batch in rows_of(vae, rows, "reference"):
        if count < REFERENCE_SHARES:
            parts.append(batch)
            count += len(batch)
    return torch.cat(parts)[:REFERENCE_SHARES]


def _scores(scored: Evidence, ordinary: Evidence | None) -> dict[str, Any]:
    """log p(x) of the rows compared with that of the reference rows."""
    log_p = scored.log_marginal
    if ordinary is None:
        names = ("p_value", "typicality", "typicality_p_value")
        unknown = dict.fromkeys(names, np.full(len(log_p), np.nan))
        return {**unknown, "reference": np.zeros(0), "shared": 0}
    reference = ordinary.log_marginal
    return {
        "p_value": low_p_value(log_p, reference),
        "typicality": np.abs(log_p - reference.mean()),
        "typicality_p_value": typicality_p_value(log_p, reference),
        "reference": reference,
        "shared": int(np.isin(scored.row_hashes, ordinary.row_hashes).sum()),
    }
