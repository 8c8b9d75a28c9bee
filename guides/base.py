"""What every amortized guide is: standardised inputs, an encoder, and a family of distributions
over z.
"""

from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.networks import Standardize, autocast
from pyro_vae.registry import Registry

GUIDES = Registry("guide")


class Posterior(nn.Module):
    """q(z | x): `posterior(x)` encodes rows (n, *data_shape) and gives a distribution with event
    shape (latent_dim,).

    A family that has a method `refine(q, x)` sees the rows once more, beside the distribution that
    it proposed.

    Arguments:
        standardize: what the encoder's inputs go through.
        encoder: any module from (n, *data_shape) to (n, features).
        family: a module from features to a distribution over z.

    Example:
        >>> import torch
        >>> from pyro_vae.guides import MeanField
        >>> posterior = Posterior(Standardize((64,), "feature"), nn.Linear(64, 16), MeanField(16, 2))
        >>> posterior(torch.zeros(5, 64)).sample().shape
        torch.Size([5, 2])
    """

    def __init__(self, standardize: Standardize, encoder: nn.Module, family: nn.Module) -> None:
        super().__init__()
        self.standardize, self.encoder, self.family = standardize, encoder, family

    def forward(self, x: Tensor) -> Distribution:
        if not isinstance(x, Tensor):
            raise ValueError(
                f"posterior: expected a tensor of rows, got {type(x).__name__}; pass "
                "torch.as_tensor(x) of the model's dtype, or any rows to pyro_vae.encode(vae, x)"
            )
        distribution: Distribution = self.family(autocast(self.encoder, self.standardize(x)))
        refine = getattr(self.family, "refine", None)
        return refine(distribution, x) if callable(refine) else distribution
