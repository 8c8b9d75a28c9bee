"""Codes, reconstructions, samples and rates of a fitted model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import as_numpy, evaluation, has_samples, posterior_of
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.arguments import public
from pyro_vae.contexts import NONE_TAKEN, contexts_of
from pyro_vae.data.frame_output import as_frame
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import with_context, with_drawn_levels
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.labels import with_drawn_labels
from pyro_vae.likelihoods.base import given, representative
from pyro_vae.objectives import analytic_kl
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


@dataclass(frozen=True, repr=False)
class Codes(Answer):
    """q(z | x) of each row.

    Attributes:
        loc: mean, (n, latent_dim).
        scale: standard deviation, (n, latent_dim); zero for an autoencoder.
        row_labels: names of the rows, where the data have some, else None.

    Example:
        >>> codes = Codes(loc=np.array([[0.0, 0.0], [2.0, 0.0]]), scale=np.ones((2, 2)))
        >>> codes
        Codes(rows=2, latent_dim=2, active units 1)
        >>> codes.to_dataframe()["loc[0]"].tolist()
        [0.0, 2.0]
    """

    loc: np.ndarray
    scale: np.ndarray
    row_labels: tuple[Any, ...] | None = None

    reading = "loc and scale are the mean and the standard deviation of q(z | x)"

    def active_units(self, threshold: float = 0.01) -> int:
        """The number of latent dimensions with Var_x E_q[z] > threshold.

        References:
            Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).
        """
        return int((self.loc.var(0) > threshold).sum())

    def totals(self) -> Sequence[Total]:
        rows, latent_dim = self.loc.shape
        note = "the mean of q(z | x) varies by more than 0.01 over the rows"
        return [
            Total("rows", rows),
            Total(
                "active units", self.active_units(), unit=f"of {latent_dim}", note=note
            ),
            Total("mean scale", float(self.scale.mean())),
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        return _columns("loc", self.loc) | _columns("scale", self.scale)

    def labels(self) -> Sequence[Any] | None:
        return self.row_labels

    def __repr__(self) -> str:
        rows, latent_dim = self.loc.shape
        return f"Codes(rows={rows}, latent_dim={latent_dim}, active units {self.active_units()})"


@public
def encode(vae: VAE, x: Any, *, context: Any = None) -> Codes:
    """The mean and standard deviation of q(z | x) for each row; with a context of q(z | x, c).

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.

    Raises:
        ValueError: rows that don't fit the model.

    Example:
        >>> encode(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).loc.shape
        (3, 2)
    """
    loc: list[Tensor] = []
    scale: list[Tensor] = []
    with evaluation(vae):
        for batch in rows_of(vae, with_context(vae, x, context), "x"):
            q = posterior_of(vae, batch)
            loc.append(q.mean)
            scale.append(q.stddev)
    return Codes(
        as_numpy(torch.cat(loc)),
        as_numpy(torch.cat(scale)),
        row_labels(x, vae.spec.table),
    )


@public
def reconstruct(
    vae: VAE, x: Any, *, context: Any = None, as_array: bool = False
) -> Any:
    """E[x' | z] at z = E[z | x], the mean of q(z | x); shaped as x; with a context given c.

    A size factor or a total of a row is kept. Categories have no mean: a categorical column gives
    the most probable one, an ordinal column its median.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape), or a DataFrame.
        context: of a model that has one, what is given with each row; see `encode`.
        as_array: give numbers also where the model knows the columns of a table.

    Returns:
        An array; of a model that knows the columns of a table a DataFrame with their names, dtypes
        and levels, and with the labels of the rows.

    Raises:
        ValueError: rows that don't fit the model.

    Example:
        >>> reconstruct(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).shape
        (3, 4)
    """
    parts: list[Tensor] = []
    with evaluation(vae):
        for batch in rows_of(vae, with_context(vae, x, context), "x"):
            rows, c = vae.model.split(batch)
            p = vae.model.p_x(posterior_of(vae, batch).mean, c)
            parts.append(representative(given(p, rows)))
        numbers = as_numpy(torch.cat(parts))
    if vae.spec.table is None or as_array:
        return numbers
    return as_frame(vae.spec.table, numbers, row_labels(x, vae.spec.table))


@dataclass(frozen=True, repr=False)
class Samples(Answer):
    """Draws from the model.

    Attributes:
        z: latent draws from the prior, (n, latent_dim).
        x: rows drawn from p(x | z), (n, *data_shape).
        mean: E[x | z], (n, *data_shape).
    """

    z: np.ndarray
    x: np.ndarray
    mean: np.ndarray

    reading = "z is drawn from p(z) and x from p(x | z); mean is E[x | z]"

    def totals(self) -> Sequence[Total]:
        rows, latent_dim = self.z.shape
        return [
            Total("rows", rows),
            Total("latent_dim", latent_dim),
            Total("numbers in a row", int(self.x[0].size)),
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        return (
            _columns("z", self.z) | _columns("x", self.x) | _columns("mean", self.mean)
        )

    def __repr__(self) -> str:
        return f"Samples(rows={len(self.z)}, data_shape={self.x.shape[1:]})"


@public
def sample(
    vae: VAE,
    num_rows: int,
    *,
    context: Any = None,
    seed: int = 0,
    as_array: bool = False,
) -> Any:
    """Draw rows from the model: z ~ p(z), then x ~ p(x | z); with a context both given c.

    Arguments:
        vae: the model.
        num_rows: how many rows, at least 1.
        context: of a model that has one: an array (num_rows, C) or (1, C), a DataFrame, or a dict
            by name of a value for all rows, {"batch": "a"}, or of one for each. Of a random effect
            a new level is drawn for each row.
        seed: of the draws.
        as_array: give `Samples` also where the model knows the columns of a table.

    Returns:
        `Samples` with z, x and E[x | z]; of a model that knows the columns of a table a DataFrame
        of x with their names, dtypes and levels.

    Raises:
        ValueError: num_rows below 1; a flat prior, from which nothing can be drawn.

    Example:
        >>> sample(VAE(data_shape=(4,), latent_dim=2), 5)
        Samples(rows=5, data_shape=(4,))
    """
    if num_rows < 1:
        raise ValueError(f"num_rows: expected at least 1, got {num_rows}")
    if not has_samples(vae):
        raise ValueError(
            "sample: prior 'flat' has no density, so nothing can be drawn from it; an autoencoder "
            "compresses and does not generate. Take prior 'standard_normal' and guide 'mean_field'"
        )
    c = _contexts(vae, context, num_rows)
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        if vae.model.label is not None and c is not None:
            c = with_drawn_labels(c, vae.model.label())
        resolved = with_drawn_levels(vae, c)
        prior = vae.model.p_z(resolved)
        z = prior.sample(torch.Size([] if prior.batch_shape else [num_rows]))
        p = vae.model.p_x(z, resolved)
        x = p.sample()
        drawn = Samples(as_numpy(z), as_numpy(x), as_numpy(p.mean))
    if vae.spec.table is None or as_array:
        return drawn
    return as_frame(vae.spec.table, drawn.x)


@public
def rate(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_particles: int = 16,
    seed: int = 0,
) -> np.ndarray:
    """KL(q(z | x) ‖ p(z)) of each row in nats, in closed form where there is one.

    Arguments:
        vae: the model.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row; see `encode`.
        num_particles: draws for each row, whose mean it is where there is no closed form.
        seed: of the draws.

    Raises:
        ValueError: no draws, rows that don't fit the model.

    Example:
        >>> rate(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4)).shape
        (3,)
    """
    if num_particles < 1:
        raise ValueError(f"num_particles: expected at least 1, got {num_particles}")
    rates: list[Tensor] = []
    with evaluation(vae), own_seed(seed, placement_of(vae).device):
        for batch in rows_of(vae, with_context(vae, x, context), "x"):
            q = posterior_of(vae, batch)
            p = vae.model.p_z(vae.model.split(batch)[1])
            kl = analytic_kl(q, p.expand(q.batch_shape))
            # drawn also where the KL has a closed form, so that a seed gives the same draws
            z = q.sample(torch.Size([num_particles]))
            if kl is None:
                kl = (q.log_prob(z) - p.log_prob(z)).mean(0)
            rates.append(kl)
        return as_numpy(torch.cat(rates))


def _contexts(vae: VAE, context: Any, num_rows: int) -> Tensor | None:
    """The contexts of the rows to draw, (num_rows, C); one context is that of all rows."""
    if vae.spec.context is None:
        if context is not None:
            raise ValueError(f"context: {NONE_TAKEN}")
        return None
    placement = placement_of(vae)
    if isinstance(context, Mapping):
        return contexts_of(vae.spec.context, context, num_rows, placement)
    found = contexts_of(vae.spec.context, context, None, placement)
    if len(found) not in (1, num_rows):
        raise ValueError(
            f"context: expected {num_rows}, one for each row to draw, or one for all, got "
            f"{len(found)}; take num_rows={len(found)}"
        )
    return found.expand(num_rows, -1)


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of (n, *shape) by name: "x[3]", or "x[1,2]" for rows of two dimensions."""
    return {
        f"{name}[{','.join(map(str, index))}]": values[(slice(None), *index)]
        for index in np.ndindex(*values.shape[1:])
    }
