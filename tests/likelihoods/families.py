"""Every likelihood in its variants, with rows that it is asked about."""

import copy
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_vae import VAE, Spec
from pyro_vae.data import statistics
from pyro_vae.hooks import StartsFromData
from pyro_vae.likelihoods import LIKELIHOODS, Family

ROWS = 60
_random = np.random.default_rng(0)


def _columns(*columns: Any) -> Tensor:
    return torch.as_tensor(np.stack(columns, 1), dtype=torch.float64)


def _of(draw: Any, *shape: int) -> Tensor:
    return torch.as_tensor(
        np.asarray(draw((ROWS, *(shape or (3,))))), dtype=torch.float64
    )


_size = _random.uniform(0.5, 2, ROWS)
_rates = (1.0, 2.5, 0.6)
_shared = _random.gamma(2.0, 0.5, ROWS)
REAL = (
    _of(lambda shape: _random.normal(size=shape))
    @ torch.diag(torch.tensor([0.5, 2.0, 7.0])).double()
    + 5
)
TIED = (
    REAL @ torch.tensor([[1.0, 0.6, 5.0], [0.0, 1.0, -4.0], [0.0, 0.0, 1.0]]).double()
)
IMAGE = _of(lambda shape: _random.normal(3, 2, shape), 2, 2)
POSITIVE = _of(lambda shape: _random.gamma(3.0, 2.0, shape))
UNIT = _of(lambda shape: _random.beta(2.0, 3.0, shape))
SPREAD = _of(
    lambda shape: np.random.default_rng(1).binomial(
        6, np.random.default_rng(2).beta(1.0, 1.5, shape)
    )
)
BITS = _of(lambda shape: _random.integers(0, 2, shape))
FEW = _of(lambda shape: _random.binomial(6, 0.4, shape))
COUNTS = _of(lambda shape: _random.poisson(4.0, shape))
WILD = _of(lambda shape: _random.negative_binomial(2.0, 0.3, shape))
ZEROS = _of(lambda shape: _random.poisson(4.0, shape) * _random.integers(0, 2, shape))
SIZED = _columns(*(_random.poisson(_size * _shared * rate) for rate in _rates), _size)
TOTALS = _of(lambda shape: np.random.default_rng(4).poisson(4.0, shape), 2, 2)
CLASSES = _of(lambda shape: _random.choice(4, shape, p=[0.1, 0.2, 0.3, 0.4]))
WORDS = torch.as_tensor(
    np.stack(
        [_random.multinomial(n, [0.2, 0.3, 0.5]) for n in _random.integers(1, 12, ROWS)]
    ),
    dtype=torch.float64,
)
PIXELS = _of(lambda shape: _random.normal(130, 20, shape).round().clip(0, 255), 2, 2)
LADDER = _of(lambda shape: _random.binomial(15, 0.5, shape))
ANGLES = _of(lambda shape: _random.vonmises(0.5, 2.0, shape))
GRADES = torch.as_tensor(
    np.random.default_rng(3).binomial([4, 2, 2], [0.6, 0.3, 0.5], (ROWS, 3)),
    dtype=torch.float64,
)
TABLE = _columns(
    REAL[:, 1],
    BITS[:, 0],
    CLASSES[:, 0],
    POSITIVE[:, 0],
    REAL[:, 0],
    *SIZED[:, [0, 3]].T,
)
GROUPS = [
    {"columns": [4, 0], "kind": "normal", "scale": "per_feature"},
    {"columns": 1, "kind": "bernoulli"},
    {"columns": "2:3", "likelihood": {"kind": "categorical", "num_classes": 4}},
    {"columns": 3, "kind": "gamma"},
    {"columns": "5:7", "kind": "negative_binomial", "size_factor": "column"},
]

GRADED = _columns(GRADES[:, 0], REAL[:, 0], GRADES[:, 1], COUNTS[:, 0], GRADES[:, 2])
GROUPS_OF_GRADES = [
    {"columns": 0, "kind": "ordinal", "num_classes": 5},
    {"columns": 1, "kind": "normal"},
    {"columns": [4, 2], "kind": "ordinal", "num_classes": 3},
    {"columns": 3, "kind": "poisson"},
]

TIED_TABLE = _columns(TIED[:, 1], COUNTS[:, 0], TIED[:, 0], TIED[:, 2])
TIED_GROUPS = [
    {"columns": [2, 0, 3], "kind": "normal", "covariance": "full"},
    {"columns": 1, "kind": "poisson"},
]


class Case(NamedTuple):
    """One likelihood: its description, the shape of a row, and rows in float64."""

    options: dict[str, Any]
    data_shape: tuple[int, ...]
    rows: Tensor


def _case(rows: Tensor, kind: str, **options: Any) -> Case:
    return Case({"kind": kind, **options}, tuple(rows.shape[1:]), rows)


CASES: dict[str, Case] = {
    "normal": _case(REAL, "normal"),
    "normal, decoder": _case(IMAGE, "normal", scale="decoder"),
    "normal, full": _case(TIED, "normal", covariance="full"),
    "normal, full, decoder, data": _case(
        TIED, "normal", covariance="full", scale="decoder", start="data"
    ),
    "normal, full, one scale": _case(
        TIED, "normal", covariance="full", scale="learned"
    ),
    "normal, asinh": _case(REAL, "normal", warp="asinh"),
    "normal, full, asinh": _case(TIED, "normal", covariance="full", warp="asinh"),
    "normal, low rank": _case(TIED, "normal", covariance="low_rank", rank=1),
    "bernoulli": _case(BITS, "bernoulli"),
    "continuous_bernoulli": _case(UNIT, "continuous_bernoulli"),
    "binomial": _case(FEW, "binomial", total_count=6),
    "beta_binomial": _case(SPREAD, "beta_binomial", total_count=6),
    "beta_binomial, per feature": _case(
        SPREAD, "beta_binomial", total_count=6, concentration="per_feature"
    ),
    "beta_binomial, fixed": _case(
        FEW, "beta_binomial", total_count=6, concentration=30.0
    ),
    "laplace": _case(REAL, "laplace"),
    "laplace, fixed": _case(REAL, "laplace", scale=0.7),
    "laplace, per feature": _case(IMAGE, "laplace", scale="per_feature"),
    "laplace, decoder": _case(IMAGE, "laplace", scale="decoder"),
    "student_t": _case(REAL, "student_t"),
    "student_t, fixed": _case(IMAGE, "student_t", df=8, scale=1.5),
    "student_t, decoder": _case(REAL, "student_t", df="decoder", scale="decoder"),
    "student_t, per feature": _case(
        REAL, "student_t", df="per_feature", scale="decoder"
    ),
    "log_normal": _case(POSITIVE, "log_normal"),
    "log_normal, fixed": _case(POSITIVE, "log_normal", scale=0.5),
    "log_normal, decoder": _case(POSITIVE, "log_normal", scale="decoder"),
    "gamma": _case(POSITIVE, "gamma"),
    "gamma, fixed": _case(POSITIVE, "gamma", concentration=2.5),
    "gamma, decoder": _case(POSITIVE, "gamma", concentration="decoder"),
    "beta": _case(UNIT, "beta"),
    "beta, learned": _case(UNIT, "beta", concentration="learned"),
    "beta, decoder": _case(UNIT, "beta", concentration="decoder"),
    "poisson": _case(COUNTS, "poisson"),
    "poisson, sized": _case(SIZED, "poisson", size_factor="column"),
    "poisson, total": _case(TOTALS, "poisson", size_factor="total"),
    "negative_binomial": _case(WILD, "negative_binomial"),
    "negative_binomial, fixed": _case(WILD, "negative_binomial", dispersion=0.3),
    "negative_binomial, decoder": _case(
        WILD, "negative_binomial", dispersion="decoder"
    ),
    "negative_binomial, sized": _case(
        SIZED, "negative_binomial", dispersion="learned", size_factor="column"
    ),
    "zero_inflated_poisson": _case(ZEROS, "zero_inflated_poisson"),
    "zero_inflated_poisson, sized": _case(
        SIZED, "zero_inflated_poisson", size_factor="column"
    ),
    "zero_inflated_negative_binomial": _case(ZEROS, "zero_inflated_negative_binomial"),
    "zero_inflated_negative_binomial, sized": _case(
        SIZED,
        "zero_inflated_negative_binomial",
        dispersion="decoder",
        size_factor="column",
    ),
    "zero_inflated_negative_binomial, total": _case(
        SIZED[:, :3],
        "zero_inflated_negative_binomial",
        size_factor="total",
    ),
    "categorical": _case(CLASSES, "categorical", num_classes=4),
    "categorical, image": _case(
        CLASSES.repeat(1, 2)[:, :4].reshape(-1, 2, 2), "categorical", num_classes=5
    ),
    "ordinal": _case(CLASSES, "ordinal", num_classes=4),
    "ordinal, image": _case(
        CLASSES.repeat(1, 2)[:, :4].reshape(-1, 2, 2), "ordinal", num_classes=5
    ),
    "ordinal, two": _case(BITS, "ordinal", num_classes=2),
    "multinomial": _case(WORDS, "multinomial"),
    "multinomial, total": _case(WORDS, "multinomial", total_count=7),
    "discretized_logistic": _case(PIXELS, "discretized_logistic"),
    "discretized_logistic, per feature": _case(
        PIXELS, "discretized_logistic", scale="per_feature"
    ),
    "discretized_logistic, mixture": _case(
        LADDER, "discretized_logistic", levels=16, mixtures=3
    ),
    "discretized_logistic, mixture, fixed": _case(
        LADDER, "discretized_logistic", levels=16, mixtures=2, scale=0.8
    ),
    "mixed": _case(TABLE, "mixed", columns=GROUPS),
    "mixed, full": _case(TIED_TABLE, "mixed", columns=TIED_GROUPS),
    "mixed, ordinal": _case(GRADED, "mixed", columns=GROUPS_OF_GRADES),
    "distribution, Gumbel": _case(REAL, "distribution", name="Gumbel"),
    "distribution, Weibull": _case(POSITIVE, "distribution", name="Weibull"),
    "distribution, VonMises": _case(ANGLES, "distribution", name="VonMises"),
    "distribution, StudentT": _case(
        IMAGE, "distribution", name="StudentT", fixed={"df": 9}
    ),
    "distribution, Binomial": _case(
        FEW, "distribution", name="Binomial", fixed={"total_count": 6}
    ),
    "distribution, GammaPoisson": _case(WILD, "distribution", name="GammaPoisson"),
}

IN_DOUBLE = {
    "binomial",
    "beta_binomial",
    "poisson",
    "negative_binomial",
    "multinomial",
    "mixed",
}


def in_double(name: str) -> bool:
    """Whether log p of the case is in float64 whatever the type of the model: that of counts."""
    return name.split(",")[0].removeprefix("zero_inflated_") in IN_DOUBLE


every_case = pytest.mark.parametrize("name", CASES)


def build(options: dict[str, Any], data_shape: tuple[int, ...]) -> Family:
    """The family that options describe, in float64."""
    built: Family = LIKELIHOODS.build(
        Spec(data_shape=data_shape, likelihood=options).likelihood, data_shape
    ).double()
    return built


def family(name: str) -> Family:
    """The family of a case in float64, started from its rows."""
    return copy.deepcopy(_family(name))


@cache
def _family(name: str) -> Family:
    options, data_shape, rows = CASES[name]
    built = build(options, data_shape)
    built.pyro_vae_start(statistics([rows]))
    return built


def vae(name: str, **fields: Any) -> VAE:
    """A small model in float64 with the likelihood of a case, started from its rows."""
    options, data_shape, rows = CASES[name]
    small = {"latent_dim": 2, "hidden_dims": (6,), **fields}
    model = VAE(data_shape=data_shape, likelihood=options, **small).double()
    model.likelihood.family.load_state_dict(_family(name).state_dict())
    for module in model.posterior.modules():
        if isinstance(module, StartsFromData):
            module.pyro_vae_start(statistics([rows]))
    return model.eval()


def outputs(built: Family, *leading: int, seed: int = 0, size: float = 0.5) -> Tensor:
    """Random decoder outputs for a family."""
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(
        *leading, *built.param_shape, generator=generator, dtype=torch.float64
    )
