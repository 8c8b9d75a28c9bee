"""The draws behind log p(x): as many as asked for, from the row alone, without side effects."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.utils.data import DataLoader, Dataset, TensorDataset

from pyro_vae import VAE, analysis
from pyro_vae.analysis import Evidence
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

evidence = partial(analysis.evidence, method="importance")
"""Importance sampling from the guide, or from the proposal that is asked for."""

TRUTH = LinearGaussian.random()
COLUMNS = ("log_marginal", "se", "elbo", "ess", "pareto_k")
CHUNKS = (1, 7, 249, 250, 251, 1000)


class Watched(nn.Module):
    """The likelihood of a linear-Gaussian model, which keeps all z that it decodes. The model has
    no parameters.
    """

    def __init__(self, truth: LinearGaussian) -> None:
        super().__init__()
        self.truth = truth
        self.seen = list[Tensor]()

    def forward(self, z: Tensor) -> Distribution:
        # the model is asked for its support at zeros, which are no draws
        if z.flatten(0, -2)[0].any():
            self.seen.append(z)
        return dist.Normal(
            z.double() @ self.truth.weight.T + self.truth.bias, self.truth.sigma
        ).to_event(1)

    @property
    def pairs(self) -> list[int]:
        """Pairs of a row and a draw in each call."""
        return [math.prod(z.shape[:-1]) for z in self.seen]


def watched() -> tuple[VAE, Watched]:
    guide = TRUTH.vae(widen=1.3).posterior
    vae = VAE(
        data_shape=(5,), latent_dim=2, likelihood=Watched(TRUTH), guide=guide
    ).double()
    vae.likelihood.seen.clear()  # construction calls each part once
    return vae, vae.likelihood


def assert_same(found: Evidence, expected: Evidence, rows: Any = slice(None)) -> None:
    for name in COLUMNS:
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name)[rows], rtol=1e-9, atol=1e-9
        )


# How many


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("draws", [1, 10, 150, 249, 250, 251, 600])
def test_as_many_draws_as_asked_for(draws: int, chunk_size: int) -> None:
    vae, likelihood = watched()
    found = evidence(vae, TRUTH.sample(3), num_particles=draws, chunk_size=chunk_size)
    assert sum(likelihood.pairs) == 3 * draws
    assert max(likelihood.pairs) <= chunk_size
    assert (
        len(torch.cat([z.reshape(-1, 2) for z in likelihood.seen]).unique(dim=0))
        == 3 * draws
    )
    assert (found.num_particles == draws).all()


@pytest.mark.parametrize("draws", [100, 5000])
@pytest.mark.parametrize("given", ["tensor", "loader"])
def test_no_more_than_a_chunk_is_decoded_at_once(given: str, draws: int) -> None:
    vae, likelihood = watched()
    x = TRUTH.sample(64)
    evidence(
        vae,
        DataLoader(TensorDataset(x), 64) if given == "loader" else x,
        num_particles=draws,
        chunk_size=500,
    )
    assert sum(likelihood.pairs) == 64 * draws
    assert max(likelihood.pairs) == 500


def test_the_first_draws_are_a_prefix() -> None:
    drawn = {}
    for draws in (1, 100, 250, 251, 600):
        vae, likelihood = watched()
        evidence(vae, TRUTH.sample(1), num_particles=draws, chunk_size=1000)
        drawn[draws] = torch.cat(likelihood.seen)
    for draws, z in drawn.items():
        assert torch.equal(z, drawn[600][:draws])


def test_one_draw_has_no_standard_error() -> None:
    found = evidence(TRUTH.vae(widen=1.3), TRUTH.sample(4), num_particles=1)
    assert np.isnan(found.se).all()
    assert np.isnan(found.pareto_k).all()
    np.testing.assert_array_equal(found.ess, 1)
    np.testing.assert_array_equal(found.elbo, found.log_marginal)


def test_the_encoder_runs_once_a_row() -> None:
    encoder = nn.Linear(5, 4).double()
    seen = list[Tensor]()
    vae = VAE(data_shape=(5,), latent_dim=2, encoder=encoder).double()
    encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = TRUTH.sample(20)
    evidence(vae, x, num_particles=300, until=Until(se=1e-3, max_particles=1000))
    assert (
        sum(map(len, seen)) == 20 + 1
    )  # and once on zeros, to see whether the guide has a density


# A row's own


@pytest.fixture(scope="module")
def fifty() -> Evidence:
    return evidence(TRUTH.vae(widen=1.3), TRUTH.sample(50), num_particles=300)


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_the_chunk_size_changes_nothing(chunk_size: int, fifty: Evidence) -> None:
    x = TRUTH.sample(50)[:10]
    assert_same(
        evidence(TRUTH.vae(widen=1.3), x, num_particles=300, chunk_size=chunk_size),
        fifty,
        slice(10),
    )


def test_order_and_company_change_nothing(fifty: Evidence) -> None:
    vae = TRUTH.vae(widen=1.3)
    x = TRUTH.sample(50)
    order = np.random.default_rng(0).permutation(50)
    assert_same(evidence(vae, x[order], num_particles=300), fifty, order)
    for row in (0, 17, 49):
        assert_same(
            evidence(vae, x[row : row + 1], num_particles=300),
            fifty,
            slice(row, row + 1),
        )


def test_same_seed_same_numbers(fifty: Evidence) -> None:
    vae = TRUTH.vae(widen=1.3)
    x = TRUTH.sample(50)
    torch.manual_seed(123)
    again, other = (evidence(vae, x, num_particles=300, seed=seed) for seed in (0, 1))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(again, name), getattr(fifty, name))
        assert (getattr(other, name) != getattr(fifty, name)).all()


def test_equal_rows_have_equal_numbers() -> None:
    x = TRUTH.sample(2)
    found = evidence(
        TRUTH.vae(widen=1.3), torch.stack([x[0], x[1], x[0]]), num_particles=300
    )
    np.testing.assert_allclose(found.log_marginal[0], found.log_marginal[2], rtol=1e-12)
    assert found.log_marginal[0] != found.log_marginal[1]


def test_rows_do_not_share_draws() -> None:
    vae, likelihood = watched()
    evidence(vae, TRUTH.sample(20), num_particles=250, chunk_size=5000)
    (z,) = likelihood.seen
    q = vae.posterior(TRUTH.sample(20))
    noise = torch.linalg.solve_triangular(
        q.scale_tril, (z - q.loc)[..., None], upper=False
    )[..., 0]
    correlation = np.corrcoef(noise.reshape(250, -1).T.numpy()) - np.eye(40)
    assert np.abs(correlation).max() < 5 / math.sqrt(250)


# What rows may come in


class Plain(Dataset[Tensor]):
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        return self.x[index]


def memmap(x: Tensor, folder: Path) -> np.ndarray:
    np.save(folder / "x.npy", x.numpy())
    return np.load(folder / "x.npy", mmap_mode="r")


FORMS: dict[str, Callable[[Tensor, Path], Any]] = {
    "array": lambda x, folder: x.numpy(),
    "int64": lambda x, folder: x.long(),
    "uint8": lambda x, folder: x.numpy().astype(np.uint8),
    "list": lambda x, folder: x.tolist(),
    "memmap": memmap,
    "dataset": lambda x, folder: Plain(x),
    "tensor_dataset": lambda x, folder: TensorDataset(x, torch.zeros(len(x))),
    "loader": lambda x, folder: DataLoader(TensorDataset(x), batch_size=3),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_any_origin(form: str, tmp_path: Path) -> None:
    vae = TRUTH.vae(widen=1.3)
    x = TRUTH.sample(7).round().abs()
    assert_same(
        evidence(vae, FORMS[form](x, tmp_path), num_particles=30),
        evidence(vae, x, num_particles=30),
    )


# What is left alone


def test_everything_is_left_as_it_was() -> None:
    decoder = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 5)
    ).double()
    vae = VAE(data_shape=(5,), latent_dim=2, decoder=decoder).double().train()
    decoder[2].eval()
    state = {name: value.clone() for name, value in vae.state_dict().items()}
    modes = [module.training for module in vae.modules()]
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what must not move
    before = (
        torch.get_rng_state(),
        str(np.random.get_state()),  # noqa: NPY002
        pyro.settings.get(),
        Distribution._validate_args,
    )
    first, second = (evidence(vae, TRUTH.sample(6), num_particles=20) for _ in range(2))
    after = (
        torch.get_rng_state(),
        str(np.random.get_state()),  # noqa: NPY002
        pyro.settings.get(),
        Distribution._validate_args,
    )
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert_same(first, second)
    assert [module.training for module in vae.modules()] == modes
    assert all(
        torch.equal(value, state[name]) for name, value in vae.state_dict().items()
    )
    assert all(
        parameter.grad is None and parameter.requires_grad
        for parameter in vae.parameters()
    )
    assert torch.is_grad_enabled()


def test_dropout_is_off() -> None:
    """With the decoder in training mode half of the units would be missing, other ones for each
    draw.
    """
    decoder = nn.Sequential(
        nn.Linear(2, 64), nn.Dropout(0.5), nn.Linear(64, 5)
    ).double()
    vae = (
        VAE(data_shape=(5,), latent_dim=2, guide=TRUTH.vae().posterior, decoder=decoder)
        .double()
        .train()
    )
    same = VAE(
        data_shape=(5,),
        latent_dim=2,
        guide=TRUTH.vae().posterior,
        decoder=nn.Sequential(decoder[0], decoder[2]),
    ).double()
    x = TRUTH.sample(4)
    assert_same(evidence(vae, x, num_particles=50), evidence(same, x, num_particles=50))


# What is refused


def bits(**options: Any) -> VAE:
    return VAE(data_shape=(4,), latent_dim=2, likelihood="bernoulli", **options)


AUTOENCODER = VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta")
PENALISED = VAE(data_shape=(4,), latent_dim=2, guide="delta")


@pytest.mark.parametrize(
    ("vae", "x", "options", "message"),
    [
        (
            bits(),
            torch.zeros(3, 4),
            {"num_particles": 0},
            "num_particles: expected at least 1, got 0",
        ),
        (
            bits(),
            torch.zeros(3, 4),
            {"chunk_size": 0},
            "chunk_size: expected at least 1, or None, got 0",
        ),
        (
            bits(),
            torch.zeros(0, 4),
            {},
            r"x: expected at least one row, got none \(shape \(0, 4\)\)",
        ),
        (
            bits(),
            Plain(torch.zeros(0, 4)),
            {},
            "x: expected at least one row .* got none",
        ),
        (
            bits(),
            torch.zeros(3, 5),
            {},
            r"x: expected rows of shape \(4,\), got \(5,\)",
        ),
        (
            bits(),
            torch.zeros(3, 2, 2),
            {},
            r"x: expected rows of shape \(4,\), got \(2, 2\) .* reshape it to \(n, 4\)",
        ),
        (bits(), torch.zeros(4), {}, r"x: expected rows of shape \(4,\), got \(\)"),
        (
            bits(),
            torch.full((300, 4), torch.nan),
            {},
            "x: expected finite numbers, got nan in row 0, column 0",
        ),
        (
            bits(),
            torch.full((3, 4), 0.5),
            {},
            r"support \{0, 1\}, got 0.5 in row 0, column 0; binarize the data, or",
        ),
        (
            bits(),
            torch.zeros(3, 4, dtype=torch.complex64),
            {},
            "x: expected real numbers",
        ),
        (
            AUTOENCODER,
            torch.zeros(3, 4),
            {},
            "autoencoder: .* log p.x. does not exist for it; take guide 'mean_field'",
        ),
        (
            PENALISED,
            torch.zeros(3, 4),
            {},
            "guide 'delta' with prior 'standard_normal' is an autoencoder",
        ),
    ],
)
def test_bad_input_is_refused(
    vae: VAE, x: Any, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evidence(vae, x, **options)


def test_the_offending_row_is_named_wherever_it_is() -> None:
    x = torch.zeros(300, 4)
    x[257, 3] = torch.inf
    with pytest.raises(
        ValueError, match="x: expected finite numbers, got inf in row 257, column 3"
    ):
        evidence(bits(), x, num_particles=100)


class Point(nn.Module):
    """A guide of a user's that gives one code a row."""

    def forward(self, x: Tensor) -> dist.Delta:
        return dist.Delta(x[:, :2], event_dim=1)


def test_a_point_of_the_users_own_has_no_evidence_either():
    vae = VAE(data_shape=(5,), latent_dim=2, guide=Point())
    with pytest.raises(ValueError, match="log p\\(x\\) does not exist"):
        evidence(vae, torch.zeros(3, 5), num_particles=10)
