"""The normal distribution without squares of units."""

import pyro.distributions as dist
from torch import Tensor

from pyro_vae.special import HALF_LOG_2_PI


class Normal(dist.Normal):
    """The normal distribution in any unit.

    torch squares the scale, which float32 can't hold from 1e19 on.

    Example:
        >>> import torch
        >>> Normal(torch.tensor(0.0), torch.tensor(1e30)).log_prob(torch.tensor(1e30))
        tensor(-70.4965)
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        standard = (value - self.loc) / self.scale
        return -0.5 * standard.square() - self.scale.log() - HALF_LOG_2_PI
