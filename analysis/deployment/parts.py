"""The parts of a model from tensors to tensors, as `torch.export` takes them."""

import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)
from torch.export import Dim

from pyro_vae.compiler.refusal import Refusal
from pyro_vae.guides.pushforward import Pushforward, standard_normal
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods.base import representative
from pyro_vae.vae import VAE

ROWS, DRAWS = 17, 19
"""Sizes of the examples: a model that has such a size itself could be taken for constant."""
Axes = dict[int, Dim]


class Part(nn.Module):
    """A part of a model, with the names and the examples of its inputs.

    Attributes:
        inputs, outputs: their names; of a model with a context the last input is that of the rows.
        needs: which fields of the description it is made of.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    needs: tuple[str, ...]

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.model, self.guide = vae.model, vae.guide
        if vae.spec.context is not None:
            self.inputs = (*self.inputs, "context")

    def examples(self, vae: VAE) -> tuple[tuple[Tensor, ...], tuple[Axes, ...]]:
        """Tensors as the part takes them, and which of their dimensions have any size."""
        rows, draws = Dim("rows"), Dim("draws")
        shapes = {
            "x": ((ROWS, *vae.spec.data_shape), {0: rows}),
            "z": ((DRAWS, ROWS, vae.spec.latent_dim), {0: draws, 1: rows}),
            "eps": ((DRAWS, ROWS, vae.spec.latent_dim), {0: draws, 1: rows}),
        }
        if vae.spec.context is not None:
            shapes["context"] = ((ROWS, vae.spec.context.size), {0: rows})
        if "x" not in self.inputs:
            shapes["z"] = ((ROWS, vae.spec.latent_dim), {0: rows})
        where = placement_of(vae)
        tensors = [
            torch.zeros(shapes[name][0], dtype=where.dtype, device=where.device)
            for name in self.inputs
        ]
        return tuple(tensors), tuple(shapes[name][1] for name in self.inputs)

    def _posterior(self, x: Tensor, context: Tensor | None) -> Distribution:
        """q(z | x, c), also where a user's guide is the same for all rows."""
        q: Distribution = self.guide.q_z(x, context)
        return q if q.batch_shape else q.expand(x.shape[:1])

    def _log_joint(self, x: Tensor, z: Tensor, context: Tensor | None) -> Tensor:
        log_p_z: Tensor = self.model.p_z(context).log_prob(z)
        log_p_x: Tensor = self.model.p_x(z, context).log_prob(x)
        return log_p_z + log_p_x


class Posterior(Part):
    """Mean and standard deviation of q(z | x, c), as `encode` gives them."""

    inputs = ("x",)
    outputs = ("loc", "scale")
    needs = ("guide",)

    def forward(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        q = self._posterior(x, context)
        return q.mean, q.stddev


class Likelihood(Part):
    """E[x | z, c], or a category, as `reconstruct` gives them."""

    inputs = ("z",)
    outputs = ("mean",)
    needs = ("likelihood",)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return representative(self.model.p_x(z, context))


class LogWeight(Part):
    """log w = log p(x, z) - log q(z | x) of draws z."""

    inputs = ("x", "z")
    outputs = ("log_weight",)
    needs = ("prior", "likelihood", "guide")

    def forward(self, x: Tensor, z: Tensor, context: Tensor | None = None) -> Tensor:
        log_q: Tensor = self._posterior(x, context).log_prob(z)
        return self._log_joint(x, z, context) - log_q


class Draws(Part):
    """z = f(ε; x) ~ q(z | x) for standard normal ε, and log w = log p(x, z) - log q(z | x)."""

    inputs = ("x", "eps")
    outputs = ("z", "log_weight")
    needs = ("prior", "likelihood", "guide")

    def forward(
        self, x: Tensor, eps: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        z, log_q = moved(self._posterior(x, context), eps)
        return z, self._log_joint(x, z, context) - log_q


class Label(Part):
    """q(y | x, c), the probability of each class; the label of the context isn't read."""

    inputs = ("x",)
    outputs = ("probabilities",)
    needs = ("guide",)

    def __init__(self, vae: VAE) -> None:
        if vae.spec.context is None or vae.spec.context.label is None:
            raise ValueError(
                "part: expected a model with a label for 'label', got one without; export "
                "another part, or make the model with context={'label': ...}"
            )
        super().__init__(vae)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.guide.log_q_y(x, context).exp()


PARTS = {
    "posterior": Posterior,
    "likelihood": Likelihood,
    "log_weight": LogWeight,
    "draws": Draws,
    "label": Label,
}


def moved(q: Distribution, eps: Tensor) -> tuple[Tensor, Tensor]:
    """The draws of q that are made of standard normal noise, and their log densities.

    Arguments:
        q: a normal, or a `Pushforward`, of batch shape (n,).
        eps: noise, (draws, n, latent_dim).

    Raises:
        ValueError: q is neither.

    Example:
        >>> q = Independent(Normal(torch.ones(4, 2), 3 * torch.ones(4, 2)), 1)
        >>> z, log_q = moved(q, torch.zeros(5, 4, 2))
        >>> z.shape, bool((z == 1).all()), log_q.shape
        (torch.Size([5, 4, 2]), True, torch.Size([5, 4]))
    """
    if isinstance(q, Pushforward):
        z, log_det = q.push(eps)
        return z, standard_normal(eps) - log_det
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
        z = q.mean + (q.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)
    elif isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        z = q.mean + q.stddev * eps
    else:
        raise Refusal(
            "draws: expected a guide that moves normal noise, got the distribution "
            f"{type(q).__name__}; take part='log_weight', which is given z"
        )
    log_q: Tensor = q.log_prob(z)  # type: ignore[no-untyped-call]
    return z, log_q
