"""Numbers of a model that must agree: each check compares two ways to the same number."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.analysis.fitted import evaluation, posterior_of
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.report.gradients import in_float64
from pyro_vae.analysis.results.answer import mean_and_se
from pyro_vae.analysis.results.verdicts import OURS, Finding
from pyro_vae.given import of_rows
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods import Likelihood
from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

NATS = 1e-3
"""Nats by which two ways to log p(x) of a row may differ, in addition to rounding."""
SIGMAS = 5.0
"""Standard errors by which two estimates of one number may differ."""
REPEATS = 32
"""Independent estimates of the ELBO, from whose spread its standard error comes."""
FEW = 20
"""Rows for the checks of structure, which are the same for all rows."""
PERTURBATIONS = 4
"""Times the effect of one perturbation by an ulp that is taken for rounding."""


def closed_form(vae: VAE, x: Tensor, seed: int) -> Finding:
    """The ELBO with the KL by draws and in closed form."""
    name = "ELBO, Monte Carlo - analytic"
    try:
        analytic = elbos(vae, x, seed, "analytic")
    except ValueError:
        meaning = "this pair of guide and prior has no closed-form KL"
        return Finding(name=name, verdict="none", meaning=meaning)
    difference, error = mean_and_se(elbos(vae, x, seed, "monte_carlo") - analytic)
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
        remedy="correct log_prob or rsample of the guide or the prior; until then train without "
        "the closed form",
        python='pv.fit(vae, x_train, kl="monte_carlo")',
        command="pyro-vae fit RUN --set fit.kl=monte_carlo --output RUN-monte-carlo",
    )


def bound(vae: VAE, x: Tensor, found: Evidence, seed: int) -> Finding:
    """log p(x) - ELBO, from other draws than those of the evidence."""
    name = "log p(x) - ELBO"
    if vae.model.effects is not None:
        meaning = "the ELBO is over random effects, and log p(x) at their means"
        return Finding(name=name, verdict="none", meaning=meaning)
    elbo, elbo_error = mean_and_se(elbos(vae, x, seed + 1, "monte_carlo"))
    gap = float(found.log_marginal.mean()) - elbo
    error = math.hypot(elbo_error, found.monte_carlo_se)
    allowed = -SIGMAS * error - NATS
    return Finding.judged(
        gap >= allowed,
        "fail",
        name=name,
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
    twin = in_float64(vae)
    few = x[:FEW].double()
    how: dict[str, Any] = {
        "num_particles": 250,
        "proposal": "guide",
        "seed": seed,
        "compile": "off",
        "progress": False,
    }
    whole = evidence(twin, few, chunk_size=5000, **how).log_marginal
    parts = evidence(twin, few, chunk_size=37, **how).log_marginal
    meaning = "log p(x) does not depend on the chunk size"
    return _same("chunks of draws", whole, parts, meaning, "the draws")


def alone(vae: VAE, x: Tensor, seed: int) -> Finding:
    """log p(x, z) - log q(z | x) of the rows together and one by one, in float64."""
    twin = in_float64(vae)
    few = x[:FEW].double()
    with evaluation(twin), own_seed(seed, few.device):
        seen = of_rows(twin)
        z = posterior_of(seen, few).sample()
        together = _log_weight(seen, few, z)
        pairs = zip(few.split(1), z.split(1), strict=True)
        single = torch.cat([_log_weight(seen, row, one) for row, one in pairs])
    name = "rows together and alone"
    meaning = "the numbers of a row do not depend on the rows beside it"
    return _same(
        name, together.cpu().numpy(), single.cpu().numpy(), meaning, "the rows"
    )


def _log_weight(vae: VAE, x: Tensor, z: Tensor) -> Tensor:
    return log_joint(vae, x, z) - posterior_of(vae, x).log_prob(z)


def density(vae: VAE, x: Tensor, seed: int) -> Finding:
    """log p(x | z) in the type of the model, and in float64 for the same decoder outputs.

    What may differ is rounding: of the sum, whose result and last few partial sums have half an ulp
    each (4 ε |log p| in all), and of the numbers that go into it, measured in float64 by moving
    each of them by one ulp, up or down at random, four times over. Errors of a formula, such as the
    lgamma of a large count, are not rounding in this sense: they are alike in all columns and add
    up.
    """
    name = "density of the likelihood"
    dtype = placement_of(vae).dtype
    if dtype == torch.float64:
        meaning = "the model computes in float64, which is the reference"
        return Finding(name=name, verdict="none", meaning=meaning)
    errors, allowed = _density_errors(vae, x[:100], seed)
    # nan counts as the largest error
    worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf) / allowed))
    error = float(errors[worst])
    type_name = str(dtype).removeprefix("torch.")
    return Finding.judged(
        bool(errors[worst] <= allowed[worst]),
        "fail",
        name=name,
        number=error,
        unit=f"nats from float64, row {worst}",
        threshold=float(allowed[worst]),
        source=f"{NATS} nats + rounding, {OURS}",
        passed=f"log p(x | z) in {type_name} is that of float64",
        failed=f"log p(x | z) in {type_name} is {error:.3g} nats off in row {worst}, and so is "
        "log p(x)",
        remedy="compute log p(x) in float64",
        python="import copy; pv.evidence(copy.deepcopy(vae).double(), x)",
    )


def _density_errors(vae: VAE, x: Tensor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """|log p(x | z) - that of float64| of each row, and how much of it may be, both (rows,)."""
    with evaluation(vae), own_seed(seed, x.device):
        z = posterior_of(vae, x).sample()
        x, context = vae.model.split(x)
        inputs_of_decoder = vae.model.decoder_inputs(z, context)
        own = vae.likelihood(inputs_of_decoder).log_prob(x).double()
        reference = _reference(vae, inputs_of_decoder)
        inputs = reference.inputs
        exact = reference.log_prob(inputs, x.double())
        epsilon = torch.finfo(x.dtype).eps
        signs = 2 * torch.rand_like(inputs).round() - 1
        ulp = epsilon * (1 + inputs.abs()) * signs
        moved = reference.log_prob(inputs + ulp, x.double())
    of_sum = 4 * epsilon * exact.abs()
    of_inputs = PERTURBATIONS * reference.roundings * (moved - exact).abs()
    allowed = NATS + (of_sum + of_inputs)
    return (own - exact).abs().cpu().numpy(), allowed.cpu().numpy()


class _Reference(NamedTuple):
    """A density in float64.

    Attributes:
        inputs: what goes into the density.
        log_prob: (inputs, rows) -> the density of the rows.
        roundings: how many roundings there are on the way.
    """

    inputs: Tensor
    log_prob: Callable[[Tensor, Tensor], Tensor]
    roundings: int


def _reference(vae: VAE, z: Tensor) -> _Reference:
    """The density of the likelihood in float64.

    The inputs of a likelihood of this package are the outputs of its decoder. Those of a user's own
    likelihood are z, and a few layers round before the density.
    """
    twin = in_float64(vae)
    if not isinstance(vae.likelihood, Likelihood):
        return _Reference(
            z.double(), lambda inputs, x: twin.likelihood(inputs).log_prob(x), 8
        )
    outputs = _decoder_outputs(vae.likelihood, z).double()
    shape = (*z.shape[:-1], *vae.likelihood.family.param_shape)
    family: Any = twin.likelihood.family
    missing: Any = twin.likelihood.missing

    def log_prob(inputs: Tensor, x: Tensor) -> Tensor:
        row = family(inputs)
        density: Tensor = (row if missing is None else missing(row)).log_prob(x)
        return density

    return _Reference(outputs.reshape(shape), log_prob, 1)


def _decoder_outputs(likelihood: Likelihood, z: Tensor) -> Tensor:
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs.append(output)

    with torch.no_grad(), likelihood.decoder.register_forward_hook(keep):
        likelihood(z)
    return outputs[0]


def elbos(
    vae: VAE, x: Tensor, seed: int, kl: Literal["analytic", "monte_carlo"]
) -> np.ndarray:
    """Independent estimates of the mean ELBO of the rows, (REPEATS,)."""
    objective = ELBO(kl=kl)
    estimates: list[float] = []
    with evaluation(vae), torch.no_grad(), own_seed(seed, x.device):
        for _ in range(REPEATS):
            elbo = objective(vae.model, vae.guide, x).elbo
            estimates.append(float(elbo.double().mean()))
    return np.array(estimates)


def _same(
    name: str, first: np.ndarray, second: np.ndarray, meaning: str, others: str
) -> Finding:
    """Two ways to the same numbers, in float64."""
    error = float(np.nan_to_num(np.abs(first - second), nan=np.inf).max())
    allowed = NATS + 4 * np.finfo(np.float64).eps * float(np.abs(first).max())
    return Finding.judged(
        bool(error <= allowed),
        "fail",
        name=name,
        number=error,
        unit="nats at most",
        threshold=allowed,
        source=f"{NATS} nats, {OURS}",
        passed=meaning,
        failed=f"log p(x) of a row changes with {others} beside it",
        remedy=f"look for a part that mixes {others} (a mean over the batch, BatchNorm), and make "
        "it work on the last dimension only",
        python="print(vae.likelihood.decoder, vae.posterior)",
    )
