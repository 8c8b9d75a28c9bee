"""Fisher information and natural gradient of normals, by differentiation of torch's KL."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian
from torch.distributions import MultivariateNormal, kl_divergence

Family = Callable[[Tensor], MultivariateNormal]
"""From θ, (size,), to q_θ."""


def fisher_information(member: Family, size: int) -> Tensor:
    """F, the Hessian of KL(q_0 ‖ q_θ) at θ = 0: a small θ changes q by ½ θᵀ F θ nats."""
    origin = torch.zeros(size, dtype=torch.float64)
    start = member(origin)
    found: Tensor = hessian(lambda theta: kl_divergence(start, member(theta)), origin)
    return found


def natural_gradient(
    member: Family, posterior: MultivariateNormal, size: int
) -> Tensor:
    """F⁻¹ ∂ELBO/∂θ at θ = 0, (size,), since log p(x) - ELBO = KL(q_θ ‖ p(z | x))."""
    origin = torch.zeros(size, dtype=torch.float64)
    slope: Tensor = jacobian(
        lambda theta: -kl_divergence(member(theta), posterior), origin
    )
    return torch.linalg.solve(fisher_information(member, size), slope)
