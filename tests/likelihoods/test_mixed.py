"""Columns of different kinds in one row."""

import math

import pytest
import torch
from scipy.integrate import quad_vec
from torch import nn

from pyro_vae import VAE, Spec
from pyro_vae.data import statistics
from pyro_vae.hooks import StartsFromData
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.likelihoods.mixed import ranges
from tests.likelihoods.families import GROUPS, TABLE, build, family, outputs

SMALL = {
    "kind": "mixed",
    "columns": [
        {"columns": 2, "kind": "poisson"},
        {"columns": 0, "kind": "normal", "scale": "decoder"},
        {"columns": 1, "kind": "bernoulli"},
    ],
}


def test_the_density_of_a_row_is_the_product_of_its_groups():
    built = family("mixed")
    raw = outputs(built, 5)
    expected = torch.zeros(5, dtype=torch.float64)
    place = 0
    for group in GROUPS:
        columns = {4: [4, 0], 1: [1], 2: [2], 3: [3], 5: [5, 6]}[
            int(str(group["columns"]).strip("[").split(",")[0].split(":")[0])
        ]
        options = group.get("likelihood") or {
            key: value for key, value in group.items() if key != "columns"
        }
        alone = build(options, (len(columns),))
        alone.pyro_vae_start(statistics([TABLE[:, columns]]))
        size = math.prod(alone.param_shape)
        part = raw[:, place : place + size].reshape(5, *alone.param_shape)
        expected = expected + alone(part).log_prob(TABLE[:5, columns])
        place += size
    assert place == raw.shape[1]
    torch.testing.assert_close(built(raw).log_prob(TABLE[:5]), expected)


def test_a_row_has_mass_one():
    built = build(SMALL, (3,))
    p = built(outputs(built))
    grid = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.arange(60.0)).double()

    def mass(x):
        rows = torch.cat([torch.full((len(grid), 1), x, dtype=torch.float64), grid], 1)
        return p.log_prob(rows).exp().sum().detach().numpy()

    assert float(quad_vec(mass, -math.inf, math.inf)[0]) == pytest.approx(1, abs=1e-7)


def test_columns_come_back_in_their_order():
    built = build(SMALL, (3,))
    built.pyro_vae_start(
        statistics([torch.tensor([[-5.0, 1.0, 30.0], [-5.2, 1.0, 31.0]]).double()])
    )
    p = built(torch.zeros(built.param_shape).double())
    torch.testing.assert_close(
        p.mean, torch.tensor([-5.1, 0.83, 30.5]).double(), rtol=0.01, atol=0
    )
    assert (
        (p.sample((100,)).mean(0) - p.mean).abs() < torch.tensor([1.0, 0.3, 5.0])
    ).all()
    assert float(p.variance[2]) == pytest.approx(30.5)


def test_every_writing_of_the_columns_is_one_description():
    ways = ["0:3", [0, 1, 2], (0, 1, 2)]
    specs = [
        Spec(
            data_shape=(4,),
            likelihood={
                "kind": "mixed",
                "columns": [{"columns": way, "kind": "normal"}, other],
            },
        )
        for way in ways
        for other in (
            {"columns": 3, "kind": "bernoulli"},
            {"columns": "3:4", "likelihood": "bernoulli"},
        )
    ]
    assert all(spec == specs[0] for spec in specs)
    assert Spec.model_validate_json(specs[0].model_dump_json()) == specs[0]


def test_groups_nest():
    inner = {
        "kind": "mixed",
        "columns": [
            {"columns": 0, "kind": "laplace"},
            {"columns": 1, "kind": "poisson"},
        ],
    }
    nested = {
        "kind": "mixed",
        "columns": [
            {"columns": [2, 0], "likelihood": inner},
            {"columns": 1, "kind": "normal"},
        ],
    }
    flat = [
        {"columns": 2, "kind": "laplace"},
        {"columns": 0, "kind": "poisson"},
        {"columns": 1, "kind": "normal"},
    ]
    rows = torch.tensor([[3.0, -1.0, 0.5], [4.0, -2.0, 9.5]]).double()
    values = []
    for options in (nested, {"kind": "mixed", "columns": flat}):
        built = build(options, (3,))
        built.pyro_vae_start(statistics([rows]))
        values.append(built(outputs(built, 2)).log_prob(rows))
    torch.testing.assert_close(*values)


def test_walking_the_modules_starts_each_group_once_and_on_its_own_columns():
    built = build({"kind": "mixed", "columns": GROUPS}, (7,))
    for module in built.modules():
        if isinstance(module, StartsFromData):
            module.pyro_vae_start(statistics([TABLE]))
    expected = family("mixed").state_dict()
    assert all(
        torch.equal(value, expected[key]) for key, value in built.state_dict().items()
    )


def test_a_decoder_of_ones_own_gives_all_parameters():
    decoder = nn.Linear(2, build(SMALL, (3,)).param_shape[0])
    model = VAE(data_shape=(3,), latent_dim=2, likelihood=SMALL, decoder=decoder)
    assert model.likelihood(torch.zeros(4, 2)).sample().shape == (4, 3)
    with pytest.raises(
        ValueError, match=r"expected 4 numbers for each row .* likelihood Mixed"
    ):
        VAE(data_shape=(3,), latent_dim=2, likelihood=SMALL, decoder=nn.Linear(2, 3))


def test_every_kind_fits_into_a_group():
    needed = {
        "binomial": {"total_count": 5},
        "beta_binomial": {"total_count": 5},
        "categorical": {"num_classes": 3},
        "ordinal": {"num_classes": 3},
        "distribution": {"name": "Gumbel"},
    }
    for kind in set(LIKELIHOODS) - {"mixed"}:
        options = {"columns": "0:2", "kind": kind, **needed.get(kind, {})}
        built = build(
            {"kind": "mixed", "columns": [options, {"columns": 2, "kind": "normal"}]},
            (3,),
        )
        assert built(outputs(built, 4)).event_shape == (3,)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], ""),
        ([3], "3"),
        ([0, 1, 2], "0:3"),
        ([0, 2, 3, 7], "0, 2:4, 7"),
        ([4, 0], "4, 0"),
    ],
)
def test_ranges_are_short(columns, words):
    assert ranges(columns) == words
