"""The mixture of the guide's posteriors at pseudo-inputs."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from safetensors.torch import load_file
from torch import Tensor, nn

from pyro_vae import ELBO, VAE, fit
from pyro_vae.data import Statistics
from pyro_vae.priors import Vamp
from pyro_vae.training import save
from tests.priors.families import ROWS, build

GREY = torch.rand(60, 4, 4, generator=torch.Generator().manual_seed(0)).round(
    decimals=1
)


def statistics(rows: Tensor) -> Statistics:
    return Statistics(
        len(rows), rows.double().mean(0), rows.double().std(0, correction=0), rows
    )


@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
def test_the_density_is_the_sum_written_out(guide: str) -> None:
    vae = build("vamp", guide=guide).double()
    z = torch.randn(
        6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    pseudo = vae.prior.pseudo_inputs
    assert pseudo.shape == (4, 4)
    each = [vae.posterior(u[None]).log_prob(z).detach().numpy() for u in pseudo]
    exact = np.log(np.mean(np.exp(each), axis=0))
    np.testing.assert_allclose(vae.prior().log_prob(z).detach(), exact, rtol=1e-10)


def test_draws_come_from_the_mixture_not_from_the_standard_normal() -> None:
    vae = build("vamp")
    vae.posterior.family.head.bias.data[:2] += 20
    q = vae.posterior(vae.prior.pseudo_inputs)
    lowest = (q.mean - 6 * q.variance.sqrt()).amin(0)  # six standard deviations
    assert (q.mean > 15).all()
    z = vae.prior().sample(torch.Size([1000]))
    assert (z > lowest).all()
    with torch.no_grad():
        z = vae.model.prior().expand(torch.Size([1000]))()
    assert (z > lowest).all()


def test_every_component_is_drawn_as_often() -> None:
    vae = build("vamp")
    vae.posterior.family.head.bias.data[2:] = -20  # narrow
    torch.manual_seed(0)
    q = vae.posterior(vae.prior.pseudo_inputs)
    nearest = torch.cdist(vae.prior().sample(torch.Size([4000])), q.mean).argmin(-1)
    np.testing.assert_allclose(nearest.bincount(minlength=4) / 4000, 0.25, atol=0.03)


def test_the_guide_is_no_part_of_the_prior(tmp_path: Any) -> None:
    vae = build("vamp")
    assert sorted(vae.prior.state_dict()) == ["mean", "raw", "std"]
    assert [*vae.prior.modules()] == [vae.prior]
    assert len([*vae.parameters()]) == sum(
        len([*part.parameters()]) for part in vae.parts
    )
    weights = load_file(save(vae, tmp_path / "run") / "model.safetensors")
    assert not [name for name in weights if "prior" in name and "encoder" in name]


def test_a_copy_mixes_the_guide_of_the_copy() -> None:
    vae = build("vamp")
    twin = copy.deepcopy(vae)
    z = torch.zeros(2)
    before = vae.prior().log_prob(torch.zeros(2))
    vae.posterior.family.head.bias.data += 3
    assert torch.equal(twin.prior().log_prob(z), before)
    twin.posterior.family.head.bias.data += 3
    assert torch.equal(twin.prior().log_prob(z), vae.prior().log_prob(z))
    assert not torch.equal(twin.prior().log_prob(z), before)


@pytest.mark.parametrize(
    ("likelihood", "rows"),
    [
        ("normal", 100 * GREY + 7),
        ("bernoulli", GREY.round()),
        ({"kind": "binomial", "total_count": 10}, (10 * GREY).round()),
        ("continuous_bernoulli", GREY),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_pseudo_inputs_start_from_rows_of_any_shape_and_likelihood(
    likelihood: Any, rows: Tensor
) -> None:
    prior = {"kind": "vamp", "pseudo_inputs": 20}
    vae = VAE(
        data_shape=(4, 4),
        latent_dim=2,
        likelihood=likelihood,
        prior=prior,
        hidden_dims=(8,),
    )
    random = vae.prior.pseudo_inputs.detach()
    assert random.shape == (20, 4, 4)
    assert 0.8 < random.std() < 1.2
    fit(vae, rows, validation=None, epochs=1, lr=1e-12, objective=ELBO())
    nearest = torch.cdist(vae.prior.pseudo_inputs.flatten(1), rows.flatten(1)).min(1)
    assert nearest.values.max() < 1e-2 * rows.max()
    assert len(nearest.indices.unique()) == 20


def test_training_moves_pseudo_inputs_by_the_spread_of_their_feature() -> None:
    rows = torch.randn(
        64, 3, generator=torch.Generator().manual_seed(0)
    ) * torch.tensor([1e-3, 1.0, 1e3])
    vae = VAE(
        data_shape=(3,),
        latent_dim=2,
        prior={"kind": "vamp", "pseudo_inputs": 8},
        hidden_dims=(8,),
    )
    vae.prior.pyro_vae_start(statistics(rows))
    before = vae.prior.pseudo_inputs.detach()
    fit(vae, rows, validation=None, epochs=20, lr=1e-2, objective=ELBO())
    moved = (vae.prior.pseudo_inputs.detach() - before).abs().mean(0)
    relative = moved / rows.std(0)
    assert relative.max() / relative.min() < 30
    assert (relative > 0.005).all()


def test_more_pseudo_inputs_than_rows_start_apart() -> None:
    vae = VAE(
        data_shape=(4,), latent_dim=2, prior={"kind": "vamp", "pseudo_inputs": 40}
    )
    torch.manual_seed(0)
    vae.prior.pyro_vae_start(statistics(ROWS))
    pseudo = vae.prior.pseudo_inputs.detach()
    torch.testing.assert_close(pseudo[:16], ROWS)
    assert len(pseudo.unique(dim=0)) == 40
    assert (pseudo[16:32] - ROWS).abs().mean() < 0.1


def test_a_feature_that_never_varies_keeps_its_unit() -> None:
    vae = VAE(data_shape=(4,), latent_dim=2, prior={"kind": "vamp", "pseudo_inputs": 5})
    rows = ROWS.clone()
    rows[:, 1] = 7.0
    vae.prior.pyro_vae_start(statistics(rows))
    torch.testing.assert_close(
        vae.prior.pseudo_inputs.detach()[:, 1], torch.full((5,), 7.0)
    )
    assert vae.prior.std[1] == 1


class Normed(nn.Module):
    """An encoder whose output depends on its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        drawn: Tensor = self.drop(self.norm(self.linear(x)))
        return drawn


def test_the_encoder_is_in_the_mode_it_is_in() -> None:
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        prior={"kind": "vamp", "pseudo_inputs": 5},
        encoder=Normed(),
    )
    z = torch.zeros(2)
    assert (
        vae.posterior.encoder.norm.num_batches_tracked == 0
    )  # building it looks, and touches nothing
    assert vae.training
    assert all(module.training for module in vae.modules())
    assert vae.prior().log_prob(z) != vae.prior().log_prob(z)
    assert vae.posterior.encoder.norm.num_batches_tracked == 2
    vae.eval()
    assert vae.prior().log_prob(z) == vae.prior().log_prob(z)
    assert vae.posterior.encoder.norm.num_batches_tracked == 2


def test_without_a_model_there_is_no_guide() -> None:
    with pytest.raises(ValueError, match="vamp needs a guide"):
        Vamp(2)()


def test_points_have_no_density_to_mix() -> None:
    with pytest.raises(ValueError, match="expected a guide with a density, got points"):
        VAE(data_shape=(4,), latent_dim=2, prior="vamp", guide="delta")


def test_a_module_of_the_users_may_be_one() -> None:
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        prior=Vamp(2, pseudo_inputs=6),
        likelihood="bernoulli",
    )
    assert vae.prior().sample(torch.Size([3])).shape == (3, 2)


@pytest.mark.param_store
def test_pyro_trains_all_of_it() -> None:
    vae = build("vamp")
    before = {name: p.detach().clone() for name, p in vae.named_parameters()}
    svi = SVI(vae.model, vae.guide, Adam({"lr": 0.01}), Trace_ELBO())
    torch.manual_seed(0)
    losses = [svi.step(ROWS) for _ in range(150)]
    assert not [
        name for name, p in vae.named_parameters() if torch.equal(p, before[name])
    ]
    assert np.mean(losses[-30:]) < np.mean(losses[:30]) - 1
