"""A check-up of a fitted model: do its numbers agree with each other, and what do they say of model and guide?"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae.analysis.fitted import evaluation, has_density, posterior_of, rows_of
from pyro_vae.analysis.importance import evidence, log_joint
from pyro_vae.analysis.latent_space import latent_use
from pyro_vae.analysis.reliability import Evidence
from pyro_vae.analysis.sbc import SIGNIFICANT, calibration
from pyro_vae.arguments import public
from pyro_vae.objectives import ELBO
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

Verdict = Literal["pass", "warn", "fail", "none"]
SIGMAS = 5.0
"""Standard errors by which two estimates of one number may differ."""
REPEATS = 32
"""Independent estimates of the ELBO, from whose spread its standard error comes."""
READING: dict[Verdict, str] = {
    "pass": "the numbers agree with each other, and nothing looks weak",
    "warn": "the numbers agree with each other; what they say of the model or its guide is weak where it says warn",
    "fail": "numbers that must agree do not, where it says fail: trust none that depends on them",
}
STEP = 1e-5
"""Length of the step of a finite difference, in float64."""


@dataclass(frozen=True)
class Finding:
    """One line of a check-up.

    Attributes:
        name: what was checked.
        value: the number, with its unit.
        verdict: "pass"; "warn": the numbers hold, and say that model or guide is weak; "fail": they contradict each
            other; "none": the question does not arise for this model.
        note: how to read it.
    """

    name: str
    value: str
    verdict: Verdict
    note: str

    def __str__(self) -> str:
        return f"{self.verdict:<5} {self.name:<28} {self.value:<34} {self.note}"


@dataclass(frozen=True)
class Checkup:
    """The findings of a check-up, in order."""

    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Verdict:
        """ "fail" where anything failed, else "warn" where anything is weak, else "pass"."""
        found = {finding.verdict for finding in self.findings}
        return "fail" if "fail" in found else "warn" if "warn" in found else "pass"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), f"\n{self.worst}: {READING[self.worst]}"])


@public
def checkup(vae: VAE, x: Any, *, num_particles: int = 1000, seed: int = 0, progress: bool | None = False) -> Checkup:
    """Check a fitted model on rows: do its numbers agree, can log p(x) be trusted, is the guide calibrated?

    Arguments:
        vae: a fitted model.
        x: rows shaped (n, *data_shape); a few hundred are enough.
        num_particles: draws for each row.
        seed: of all draws.
        progress: show bars; None on a terminal only.

    Returns:
        The `Checkup`: print it; `worst` is its verdict.

    Raises:
        ValueError: no rows, or rows that the model can't hold.

    Example:
        >>> checkup(VAE(data_shape=(4,), latent_dim=2), torch.randn(20, 4), num_particles=100).worst in {"pass", "warn"}
        True
    """
    rows = torch.cat(list(rows_of(vae, x, "x")))
    findings = [_gradient(vae, rows, seed)]
    if not has_density(vae):
        reason = "guide 'delta' is a point: the model has no density, so there is no log p(x) to check"
        return Checkup((*findings, Finding("evidence", "", "none", reason)))
    found = evidence(vae, rows, num_particles=num_particles, seed=seed, progress=progress)
    findings += [
        _closed_form(vae, rows, seed),
        _bound(vae, rows, found, seed),
        _chunks(vae, rows, found, seed),
        _alone(vae, rows, seed),
        _reliability(found),
        _calibration(vae, seed, progress),
        _collapse(vae, rows, seed),
    ]
    return Checkup(tuple(findings))


def agreement(name: str, difference: float, error: float, note: str) -> Finding:
    """A difference that is zero in truth, judged by its standard error."""
    off = abs(difference) / error if error > 0 else (0.0 if abs(difference) < 1e-6 else math.inf)
    return Finding(name, f"{difference:+.4f} ± {error:.4f} nats", "pass" if off <= SIGMAS else "fail", note)


def _gradient(vae: VAE, x: Tensor, seed: int) -> Finding:
    """The derivative of the loss along a random direction, by backpropagation and by a central difference."""
    twin, name = copy.deepcopy(vae).double(), "gradient of the loss"
    parameters = [p for p in twin.parameters() if p.requires_grad]
    with evaluation(twin), torch.enable_grad():
        with own_seed(seed):
            direction = [torch.randn_like(p) / math.sqrt(p.numel()) for p in parameters]

        def loss() -> Tensor:
            with own_seed(seed):
                return ELBO()(twin.model, twin.guide, x[:50].double()).loss.mean()

        gradients = torch.autograd.grad(loss(), parameters, allow_unused=True, materialize_grads=True)
        slope = sum(float((g * v).sum()) for g, v in zip(gradients, direction, strict=True))
        measured = (_moved(parameters, direction, STEP, loss) - _moved(parameters, direction, -STEP, loss)) / (2 * STEP)
    off = abs(slope - measured) / max(abs(measured), 1e-8)
    verdict: Verdict = "pass" if off < 1e-3 else "fail"
    return Finding(name, f"{off:.1e} relative difference", verdict, "backpropagation against a finite difference")


def _moved(parameters: list[nn.Parameter], direction: list[Tensor], step: float, loss: Callable[[], Tensor]) -> float:
    """The loss a step away; the parameters are put back."""
    own = [p.data for p in parameters]
    for p, v in zip(parameters, direction, strict=True):
        p.data = p.data + step * v
    try:
        return float(loss().detach())
    finally:
        for p, value in zip(parameters, own, strict=True):
            p.data = value


def _elbos(vae: VAE, x: Tensor, seed: int, kl: Literal["analytic", "monte_carlo"]) -> np.ndarray:
    """Independent estimates of the mean ELBO of the rows, (REPEATS,)."""
    objective = ELBO(kl=kl)
    with evaluation(vae), torch.no_grad(), own_seed(seed):
        return np.array([float(objective(vae.model, vae.guide, x).elbo.double().mean()) for _ in range(REPEATS)])


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _closed_form(vae: VAE, x: Tensor, seed: int) -> Finding:
    name = "ELBO, Monte Carlo - analytic"
    try:
        analytic = _elbos(vae, x, seed, "analytic")
    except ValueError:
        return Finding(name, "", "none", "this pair of guide and prior has no closed-form KL")
    difference, error = _mean_and_error(_elbos(vae, x, seed, "monte_carlo") - analytic)
    return agreement(name, difference, error, "the KL by draws and in closed form are the same number")


def _bound(vae: VAE, x: Tensor, found: Evidence, seed: int) -> Finding:
    """The ELBO comes from other draws than the evidence."""
    elbo, elbo_error = _mean_and_error(_elbos(vae, x, seed + 1, "monte_carlo"))
    gap = float(found.log_marginal.mean()) - elbo
    error = math.hypot(elbo_error, found.summary().monte_carlo_se)
    verdict: Verdict = "pass" if gap >= -SIGMAS * error else "fail"
    return Finding(
        "log p(x) - ELBO", f"{gap:+.4f} ± {error:.4f} nats", verdict, "a bound is never above what it bounds"
    )


def _chunks(vae: VAE, x: Tensor, found: Evidence, seed: int) -> Finding:
    """The same draws in other chunks."""
    few = min(len(x), 20)
    again = evidence(vae, x[:few], num_particles=int(found.num_particles[0]), seed=seed, chunk_size=37)
    off = float(np.abs(again.log_marginal - found.log_marginal[:few]).max())
    verdict: Verdict = "pass" if off < 1e-4 * max(1.0, float(np.abs(found.log_marginal).max())) else "fail"
    return Finding("chunks of draws", f"{off:.1e} nats at most", verdict, "log p(x) does not depend on the chunk size")


def _alone(vae: VAE, x: Tensor, seed: int) -> Finding:
    """log p(x, z) - log q(z | x) of the rows together and one by one."""
    few = x[:20]
    with evaluation(vae), own_seed(seed):
        q = posterior_of(vae, few)
        z = q.sample()
        together = log_joint(vae, few, z) - q.log_prob(z)
        pairs = zip(few.split(1), z.split(1), strict=True)
        alone = torch.cat([log_joint(vae, row, one) - posterior_of(vae, row).log_prob(one) for row, one in pairs])
    off = float((together - alone).abs().max())
    verdict: Verdict = "pass" if off < 1e-4 * max(1.0, float(together.abs().max())) else "fail"
    note = "a row's numbers do not depend on the rows beside it"
    return Finding("rows together and alone", f"{off:.1e} nats at most", verdict, note)


def _reliability(found: Evidence) -> Finding:
    share = found.summary().unreliable
    if math.isnan(share):
        return Finding("k-hat above 0.7", "", "none", "too few draws to tell; take 1000")
    verdict: Verdict = "pass" if share <= 0.1 else "warn"
    note = (
        "log p(x) can be trusted"
        if verdict == "pass"
        else "there log p(x) is too low; take evidence(vae, x, retry='refined')"
    )
    return Finding("k-hat above 0.7", f"{share:.1%} of rows", verdict, note)


def _calibration(vae: VAE, seed: int, progress: bool | None) -> Finding:
    found = calibration(vae, num_rows=500, seed=seed, progress=progress)
    calibrated = found.p_value >= SIGNIFICANT
    held = "on rows of the model, intervals of q(z | x) hold what they say"
    note = held if calibrated else "on rows of the model, q(z | x) is off; print(calibration(vae)) says how"
    return Finding("calibration of the guide", _p(found.p_value), "pass" if calibrated else "warn", note)


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 1e-6 else "p < 1e-6"


def _collapse(vae: VAE, x: Tensor, seed: int) -> Finding:
    used = latent_use(vae, x, seed=seed)
    value = f"{used.active_units} of {len(used.variance)} units active"
    return Finding(
        "use of the latent space", value, "warn" if used.warning else "pass", used.warning or "no unit is dead"
    )


def installation(*, seed: int = 0) -> Checkup:
    """Check what is installed on linear-Gaussian models, all of whose answers are known in closed form.

    Example:
        >>> installation().worst
        'pass'
    """
    return Checkup(tuple(_known(seed)))


def _known(seed: int) -> Iterator[Finding]:
    from pyro_vae.analysis.ais import annealed
    from pyro_vae.analysis.linear_gaussian import LinearGaussian

    truth = LinearGaussian.random(data_dim=5, latent_dim=2, seed=seed)
    x = truth.sample(500, seed=seed)
    exact = truth.marginal().log_prob(x).numpy()
    with torch.no_grad():
        one = ELBO(kl="monte_carlo")(truth.vae().model, truth.vae().guide, x).elbo.numpy()
    off = float(np.abs(one - exact).max())
    note = "with the exact posterior one draw gives log p(x)"
    yield Finding("ELBO at the posterior", f"{off:.1e} nats off at most", "pass" if off < 1e-9 else "fail", note)
    wide = evidence(truth.vae(widen=1.3), x, num_particles=1000, seed=seed)
    inside = float((np.abs(wide.log_marginal - exact) <= 3 * wide.se).mean())
    note = "of rows within 3 standard errors of the exact log p(x)"
    yield Finding("importance sampling", f"{inside:.1%}", "pass" if inside >= 0.98 else "fail", note)
    difference = (
        annealed(truth.vae(widen=1.3), x[:20], num_chains=16, temperatures=200, seed=seed).log_marginal - exact[:20]
    )
    off = float(np.abs(difference.mean()))
    note = "mean difference to the exact log p(x)"
    yield Finding("annealed importance sampling", f"{off:.4f} nats", "pass" if off < 0.05 else "fail", note)
    for widen, share in ((1.3, 0.0), (0.5, 1.0)):
        k = evidence(truth.vae(widen=widen), x[:100], num_particles=5000, seed=seed).pareto_k
        bad = float((k > 0.7).mean())
        right = bad < 0.05 if share == 0 else bad > 0.5
        note = f"of rows above 0.7 for a guide {widen} times as wide as the posterior"
        yield Finding("k-hat", f"{bad:.0%}", "pass" if right else "fail", note)
    for widen in (1.0, 0.7):
        p_value = calibration(truth.vae(widen=widen), num_rows=500, seed=seed).p_value
        right = (p_value > 1e-4) == (widen == 1.0)
        note = f"for a guide {widen} times as wide as the posterior"
        yield Finding("calibration", _p(p_value), "pass" if right else "fail", note)
