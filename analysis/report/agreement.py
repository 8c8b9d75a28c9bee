"""Numbers of a model that must agree: each check compares two ways to the same number."""

import copy
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.analysis.fitted import evaluation, posterior_of
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence, log_joint
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.results.verdicts import OURS, Finding, mean_and_error
from pyro_vae.arguments import public
from pyro_vae.guides.semi_amortized import SemiAmortized
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.likelihoods import Likelihood
from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

NATS = 1e-3
"""Nats by which two ways to the same log p(x) of a row may differ, beside what is rounding."""
SIGMAS = 5.0
"""Standard errors by which two estimates of one number may differ."""
RELATIVE = 1e-3
"""Relative difference of a derivative and a finite difference, in float64."""
REPEATS = 32
"""Independent estimates of the ELBO, from whose spread its standard error comes."""
STEP = 1e-5
"""Length of the step of a finite difference, in float64."""
FEW = 20
"""Rows for the checks of structure, which are the same for all rows."""


def gradient(vae: VAE, x: Tensor, seed: int) -> Finding:
    """The derivative of the loss along a random direction, by backpropagation and by a central
    difference.
    """
    twin = _in_float64(vae)
    parameters = [p for p in twin.parameters() if p.requires_grad]
    off = _gradient_error(twin, x[:50].double(), parameters, seed)
    return Finding.judged(
        off < RELATIVE,
        "fail",
        name="gradient of the loss",
        number=off,
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
def gradient_errors(vae: VAE, x: Any, *, seed: int = 0) -> dict[str, float]:
    """Relative difference of backpropagation and a finite difference for each parameter where it is
    above 1e-3.

    Arguments:
        vae: a model.
        x: rows shaped (n, *data_shape); the first 50 are taken.
        seed: of the noise and of the directions.

    Raises:
        ValueError: no rows, or rows that don't fit the model.

    Example:
        >>> gradient_errors(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4))
        {}
    """
    rows, twin = torch.cat(list(rows_of(vae, x, "x")))[:50].double(), _in_float64(vae)
    named = {name: p for name, p in twin.named_parameters() if p.requires_grad}
    errors = {name: _gradient_error(twin, rows, [p], seed) for name, p in named.items()}
    return {name: error for name, error in errors.items() if error >= RELATIVE}


def closed_form(vae: VAE, x: Tensor, seed: int) -> Finding:
    """The ELBO with the KL by draws and in closed form."""
    name = "ELBO, Monte Carlo - analytic"
    try:
        analytic = elbos(vae, x, seed, "analytic")
    except ValueError:
        return Finding(
            name=name, verdict="none", meaning="this pair of guide and prior has no closed-form KL"
        )
    difference, error = mean_and_error(elbos(vae, x, seed, "monte_carlo") - analytic)
    allowed = SIGMAS * error + NATS
    return Finding.judged(
        abs(difference) <= allowed,
        "fail",
        name=name,
        number=difference,
        error=error,
        unit="nats",
        threshold=allowed,
        source=f"{SIGMAS:.0f} standard errors + {NATS} nats, {OURS}",
        passed="the KL by draws and in closed form are the same number",
        failed="the KL by draws and in closed form differ: density and samples of guide or prior "
        "contradict each other",
        remedy="mend log_prob or rsample of the guide or the prior; until then train without the "
        "closed form",
        python='pv.fit(vae, x_train, kl="monte_carlo")',
        command="pyro-vae fit RUN/experiment.json --set fit.kl=monte_carlo --output "
        "RUN-monte-carlo",
    )


def bound(vae: VAE, x: Tensor, found: Evidence, seed: int) -> Finding:
    """log p(x) - ELBO, from other draws than those of the evidence."""
    elbo, elbo_error = mean_and_error(elbos(vae, x, seed + 1, "monte_carlo"))
    gap = float(found.log_marginal.mean()) - elbo
    error = math.hypot(elbo_error, found.summary().monte_carlo_se)
    allowed = -SIGMAS * error - NATS
    return Finding.judged(
        gap >= allowed,
        "fail",
        name="log p(x) - ELBO",
        number=gap,
        error=error,
        unit="nats",
        threshold=allowed,
        side="at least",
        source="Jensen's inequality, Jordan et al. 1999",
        passed="the bound is below what it bounds",
        failed="the ELBO is above the log p(x) that it bounds: a density is not normalised, or log "
        "p(x) is far too low",
        remedy="take log p(x) from the prior by annealed importance sampling, which needs no guide",
        python="pv.annealed(vae, x[:10])",
    )


def chunks(vae: VAE, x: Tensor, seed: int) -> Finding:
    """log p(x) from the same draws in other chunks, in float64."""
    twin, few = _in_float64(vae), x[:FEW].double()
    how: dict[str, Any] = {
        "num_particles": 250,
        "proposal": "guide",
        "seed": seed,
        "compile": "off",
    }
    whole, parts = (evidence(twin, few, chunk_size=size, **how).log_marginal for size in (5000, 37))
    return _same(
        "chunks of draws", whole, parts, "log p(x) does not depend on the chunk size", "the draws"
    )


def alone(vae: VAE, x: Tensor, seed: int) -> Finding:
    """log p(x, z) - log q(z | x) of the rows together and one by one, in float64."""
    twin, few = _in_float64(vae), x[:FEW].double()
    with evaluation(twin), own_seed(seed, few.device):
        q = posterior_of(twin, few)
        z = q.sample()
        together = log_joint(twin, few, z) - q.log_prob(z)
        pairs = zip(few.split(1), z.split(1), strict=True)
        single = torch.cat(
            [
                log_joint(twin, row, one) - posterior_of(twin, row).log_prob(one)
                for row, one in pairs
            ]
        )
    name, meaning = "rows together and alone", "a row's numbers do not depend on the rows beside it"
    return _same(name, together.cpu().numpy(), single.cpu().numpy(), meaning, "the rows")


def density(vae: VAE, x: Tensor, seed: int) -> Finding:
    """log p(x | z) in the model's own type, and by the same family in float64 for the same decoder
    outputs.

    What may differ is rounding: of the sum, whose result and last few partial sums have half an ulp
    each (4 ε |log p| in all), and of the numbers that go into it, measured in float64 by moving
    each of them by one ulp, up or down at random, four times over. Errors of a formula, such as the
    lgamma of a large count, are not rounding in this sense: they are alike in all columns and add
    up.
    """
    name, type_name = (
        "density of the likelihood",
        str(placement_of(vae).dtype).removeprefix("torch."),
    )
    if placement_of(vae).dtype == torch.float64:
        return Finding(
            name=name,
            verdict="none",
            meaning="the model computes in float64, which is the reference",
        )
    few = x[:100]
    with evaluation(vae), own_seed(seed, x.device):
        z = posterior_of(vae, few).sample()
        own = vae.likelihood(z).log_prob(few).double()
        given, reference, layers = _reference(vae, z)
        exact = reference(given, few.double())
        epsilon = torch.finfo(few.dtype).eps
        ulp = epsilon * (1 + given.abs()) * (2 * torch.rand_like(given).round() - 1)
        rounding = (
            4 * epsilon * exact.abs()
            + 4 * layers * (reference(given + ulp, few.double()) - exact).abs()
        )
    off, allowed = (part.cpu().numpy() for part in ((own - exact).abs(), NATS + rounding))
    worst = int(np.argmax(np.nan_to_num(off, nan=np.inf) / allowed))
    return Finding.judged(
        bool(off[worst] <= allowed[worst]),
        "fail",
        name=name,
        number=float(off[worst]),
        unit=f"nats from float64, row {worst}",
        threshold=float(allowed[worst]),
        source=f"{NATS} nats + rounding, {OURS}",
        passed=f"log p(x | z) in {type_name} is that of float64",
        failed=f"log p(x | z) in {type_name} is {off[worst]:.3g} nats off in row {worst}, and so "
        "is log p(x)",
        remedy="compute log p(x) in float64",
        python="import copy; pv.evidence(copy.deepcopy(vae).double(), x)",
    )


def elbos(vae: VAE, x: Tensor, seed: int, kl: Literal["analytic", "monte_carlo"]) -> np.ndarray:
    """Independent estimates of the mean ELBO of the rows, (REPEATS,)."""
    objective = ELBO(kl=kl)
    with evaluation(vae), torch.no_grad(), own_seed(seed, x.device):
        return np.array(
            [float(objective(vae.model, vae.guide, x).elbo.double().mean()) for _ in range(REPEATS)]
        )


def _in_float64(vae: VAE) -> VAE:
    twin: VAE = copy.deepcopy(vae).double()
    return twin


def _gradient_error(twin: VAE, x: Tensor, parameters: list[nn.Parameter], seed: int) -> float:
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
        gradients = torch.autograd.grad(here, parameters, allow_unused=True, materialize_grads=True)
        slope = sum(float((g * v).sum()) for g, v in zip(gradients, direction, strict=True))
        measured = (
            _moved(parameters, direction, STEP, loss) - _moved(parameters, direction, -STEP, loss)
        ) / (2 * STEP)
    # Far above what rounding makes of a derivative that is zero.
    noise = 1e-6 * max(1.0, abs(float(here.detach())))
    return abs(slope - measured) / max(abs(measured), noise)


def _moved(
    parameters: list[nn.Parameter], direction: list[Tensor], step: float, loss: Callable[[], Tensor]
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


def _same(name: str, first: np.ndarray, second: np.ndarray, meaning: str, others: str) -> Finding:
    """Two ways to the same numbers, in float64."""
    off = float(np.nan_to_num(np.abs(first - second), nan=np.inf).max())
    allowed = NATS + 4 * np.finfo(np.float64).eps * float(np.abs(first).max())
    return Finding.judged(
        bool(off <= allowed),
        "fail",
        name=name,
        number=off,
        unit="nats at most",
        threshold=allowed,
        source=f"{NATS} nats, {OURS}",
        passed=meaning,
        failed=f"log p(x) of a row changes with {others} beside it",
        remedy=f"look for a part that mixes {others} (a mean over the batch, BatchNorm), and make "
        "it work on the last dimension only",
        python="print(vae.likelihood.decoder, vae.posterior)",
    )


def _reference(vae: VAE, z: Tensor) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor], int]:
    """What goes into the density in float64, the density of rows for it, and how many roundings lie
    on the way.

    Of a decoder and a family the numbers are the decoder's outputs; of a user's own likelihood they
    are z, and a few layers round before the density.
    """
    twin = _in_float64(vae)
    if not isinstance(vae.likelihood, Likelihood):
        return z.double(), lambda given, x: twin.likelihood(given).log_prob(x), 8
    raws: list[Tensor] = []
    with torch.no_grad(), _noted(vae.likelihood.decoder, raws):
        vae.likelihood(z)
    family: Any = twin.likelihood.family
    shape = (*z.shape[:-1], *vae.likelihood.family.param_shape)
    return raws[0].double().reshape(shape), lambda given, x: family(given).log_prob(x), 1


def _noted(module: nn.Module, outputs: list[Tensor]) -> Any:
    """A hook that keeps the outputs of a module."""
    return module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
