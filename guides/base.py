"""What every amortized guide is: standardised inputs, an encoder, and a family over z."""

from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.hooks import RefinesProposal
from pyro_vae.networks import Standardize, autocast
from pyro_vae.networks.context import Resolved
from pyro_vae.registry import Registry

GUIDES = Registry("guide")


class Posterior(nn.Module):
    """q(z | x): `posterior(x)` gives a distribution for each row, with event shape (latent_dim,).

    For an encoder that takes the context of a row too, `posterior(x, context)` is q(z | x, c).

    A family with the hook `pyro_vae_refine(q, x)` is given the rows once more, with the
    distribution that it proposed, and their context (see `pyro_vae.hooks`).

    Arguments:
        standardize: what the encoder's inputs go through.
        encoder: any module from (n, *data_shape) to (n, features).
        family: a module from features to a distribution over z.

    Example:
        >>> import torch
        >>> from pyro_vae.guides import MeanField
        >>> standardize = Standardize((64,), "feature")
        >>> posterior = Posterior(standardize, nn.Linear(64, 16), MeanField(16, 2))
        >>> posterior(torch.zeros(5, 64)).sample().shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        standardize: Standardize,
        encoder: nn.Module,
        family: nn.Module,
    ) -> None:
        super().__init__()
        self.standardize = standardize
        self.encoder = encoder
        self.family = family

    def forward(
        self, x: Tensor, context: Tensor | Resolved | None = None
    ) -> Distribution:
        if not isinstance(x, Tensor):
            raise ValueError(
                f"posterior: expected a tensor of rows, got {type(x).__name__}; pass "
                "torch.as_tensor(x) of the model's dtype, or any rows to pyro_vae.encode(vae, x)"
            )
        given = () if context is None else (context,)
        features = autocast(self.encoder, self.standardize(x), *given)
        distribution: Distribution = self.family(features)
        if isinstance(self.family, RefinesProposal):
            return self.family.pyro_vae_refine(distribution, x, *given)
        return distribution
