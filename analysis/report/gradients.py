"""The gradient of the loss, by backpropagation and by a central difference."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.results.verdicts import Finding
from pyro_vae.arguments import public
from pyro_vae.given import with_context
from pyro_vae.guides.semi_amortized import SemiAmortized
from pyro_vae.inputs import rows_of
from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

RELATIVE = 1e-3
"""Relative difference of a derivative and a finite difference, in float64."""
STEP = 1e-5
"""Length of the step of a finite difference, in float64."""
FEW = 50
"""Rows that the loss is computed for."""
ROUNDING = 1e-6
"""Relative to the loss; far above what rounding makes of a derivative that is zero."""


def gradient(vae: VAE, x: Tensor, seed: int) -> Finding:
    """The derivative of the loss along a random direction of all parameters, in two ways."""
    twin = in_float64(vae)
    parameters = [p for p in twin.parameters() if p.requires_grad]
    error = _gradient_error(twin, x[:FEW].double(), parameters, seed)
    return Finding.judged(
        error < RELATIVE,
        "fail",
        name="gradient of the loss",
        number=error,
        unit="relative difference",
        threshold=RELATIVE,
        source="truncation error of a central difference in float64",
        passed="backpropagation and a finite difference agree",
        failed="backpropagation and a finite difference disagree: training has not followed the "
        "loss",
        remedy="find the parameters that are named, and the detach() or no_grad() on their way",
        python="from pyro_vae.analysis import gradient_errors; gradient_errors(vae, x)",
    )


@public
def gradient_errors(
    vae: VAE, x: Any, *, context: Any = None, seed: int = 0
) -> dict[str, float]:
    """Relative difference of backpropagation and a finite difference, where it is above 1e-3.

    Arguments:
        vae: a model.
        x: rows shaped (n, *data_shape); the first 50 are taken.
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        seed: of the noise and of the directions.

    Returns:
        Name of a parameter -> the relative difference along a random direction; empty where all
        parameters agree.

    Raises:
        ValueError: no rows, or rows that don't fit the model.

    Example:
        >>> gradient_errors(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4))
        {}
    """
    whole = with_context(vae, x, context)
    rows = torch.cat(list(rows_of(vae, whole, "x")))[:FEW].double()
    twin = in_float64(vae)
    named = {name: p for name, p in twin.named_parameters() if p.requires_grad}
    errors = {name: _gradient_error(twin, rows, [p], seed) for name, p in named.items()}
    return {name: error for name, error in errors.items() if error >= RELATIVE}


def in_float64(vae: VAE) -> VAE:
    """A copy of the model in float64."""
    twin: VAE = copy.deepcopy(vae).double()
    return twin


def _gradient_error(
    twin: VAE, x: Tensor, parameters: list[nn.Parameter], seed: int
) -> float:
    """The relative difference along one random direction of these parameters."""
    for module in twin.modules():
        if isinstance(module, SemiAmortized):
            module.unroll = True  # else its gradient leaves a part out, on purpose
    with evaluation(twin), torch.enable_grad():
        with own_seed(seed, x.device):
            direction = [torch.randn_like(p) / math.sqrt(p.numel()) for p in parameters]

        def loss() -> Tensor:
            with own_seed(seed, x.device):
                return ELBO()(twin.model, twin.guide, x).loss.mean()

        here = loss()
        gradients = torch.autograd.grad(
            here, parameters, allow_unused=True, materialize_grads=True
        )
        products = [g * v for g, v in zip(gradients, direction, strict=True)]
        slope = sum(float(product.sum()) for product in products)
        above = _loss_at(parameters, direction, STEP, loss)
        below = _loss_at(parameters, direction, -STEP, loss)
        measured = (above - below) / (2 * STEP)
    noise = ROUNDING * max(1.0, abs(float(here.detach())))
    return abs(slope - measured) / max(abs(measured), noise)


def _loss_at(
    parameters: list[nn.Parameter],
    direction: list[Tensor],
    step: float,
    loss: Callable[[], Tensor],
) -> float:
    """The loss a step away; the parameters are put back."""
    own = [p.data for p in parameters]
    for p, v in zip(parameters, direction, strict=True):
        p.data = p.data + step * v
    try:
        return float(loss().detach())
    finally:
        for p, value in zip(parameters, own, strict=True):
            p.data = value
