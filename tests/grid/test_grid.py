"""Every prior with every likelihood, guide and objective: from TOML to evidence, and to disk."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from pyro_vae import ELBO, VAE, evidence, fit, load, save
from pyro_vae.analysis.fitted import has_density
from pyro_vae.experiment.description import Experiment
from pyro_vae.spec import read
from tests.grid.parts import GRID, HALF, REFUSED, SAMPLE, Combination, obstacle

PARTICLES = 50


def trained(combination: Combination, folder: Path) -> VAE:
    """The model of the combination after three steps, by way of a TOML file."""
    (folder / "spec.toml").write_text(combination.toml())
    experiment = Experiment.model_validate(read(folder / "spec.toml"))
    vae = VAE.from_spec(experiment.model_fields_of())
    run = fit(vae, combination.rows(), **experiment.fit.model_dump(), progress=False)
    assert len(run.history) == 3
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in run.history)
    return vae


def assert_gradients_everywhere(vae: VAE) -> None:
    """None is zero, except for the last bias of a Laplace, which starts at the medians."""
    for name, parameter in vae.named_parameters():
        if (
            vae.spec.likelihood.kind == "laplace"
            and name == "model.likelihood.decoder.3.bias"
        ):
            continue
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"
        assert parameter.grad.any(), f"the gradient of {name} is zero"


def assert_bounded(vae: VAE, x: Tensor, method: Literal["auto", "importance"]) -> None:
    """log p(x) is finite and not below the ELBO, both estimated, each from draws of its own."""
    found = evidence(vae, x, num_particles=PARTICLES, method=method)
    assert torch.isfinite(torch.as_tensor(found.log_marginal)).all()
    with torch.no_grad():
        elbo = ELBO(num_particles=PARTICLES)(
            vae.model, vae.guide, x.repeat(8, 1, *[1] * (x.ndim - 2))
        ).elbo
    means = elbo.reshape(8, -1).mean(1).double()
    error = means.std() / 8**0.5
    assert (
        found.log_marginal.mean()
        >= float(means.mean() - 5 * error) - 5 * found.monte_carlo_se - 1e-3
    )


def assert_same_after_loading(vae: VAE, x: Tensor, folder: Path) -> None:
    save(vae, folder / "run")
    loaded = load(folder / "run")
    if has_density(vae):
        before, after = (
            evidence(model, x, num_particles=5).log_marginal for model in (vae, loaded)
        )
        assert (before == after).all()
    else:
        assert torch.equal(vae.posterior(x).mean, loaded.posterior(x).mean)


def check(
    combination: Combination,
    folder: Path,
    method: Literal["auto", "importance"] = "auto",
) -> None:
    torch.manual_seed(0)
    vae, x = trained(combination, folder), combination.rows()
    assert_gradients_everywhere(vae)
    if has_density(vae):
        assert_bounded(vae, x, method)
    assert_same_after_loading(vae, x, folder)


@pytest.mark.slow
@pytest.mark.parametrize("combination", SAMPLE, ids=str)
def test_a_sample_of_the_grid(combination: Combination, tmp_path: Path) -> None:
    check(combination, tmp_path)


@pytest.mark.parametrize("part", ["prior", "guide", "objective"])
def test_half_of_the_grid_has_every_part_with_every_likelihood(part: str) -> None:
    whole, half = (
        {(getattr(c, part), c.likelihood) for c in some} for some in (GRID, HALF)
    )
    assert half == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "triple", sorted({(c.prior, c.guide, c.objective) for c in GRID}), ids=" x ".join
)
def test_the_whole_grid(triple: tuple[str, str, str], tmp_path: Path) -> None:
    for number, combination in enumerate(
        c for c in HALF if (c.prior, c.guide, c.objective) == triple
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            check(
                combination, folder, "importance"
            )  # the sample takes the default, which costs more
        except Exception as error:
            raise AssertionError(f"{combination}: {error}") from error


@pytest.mark.slow
@pytest.mark.parametrize("triple", REFUSED, ids=" x ".join)
def test_what_makes_no_sense_is_refused_with_the_reason(
    triple: tuple[str, str, str], tmp_path: Path
) -> None:
    prior, guide, objective = triple
    with pytest.raises(ValueError, match=obstacle(*triple)):
        trained(Combination(prior, "normal", guide, objective), tmp_path)
