"""Every part that has a name, by room, and which of them go together."""

import json
import os
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tests.likelihoods.families import CASES

LATENT_DIM, TOP_DIM = 3, 1
TOP = {"top_dim": TOP_DIM, "hidden_dims": [4]}
PRIORS: dict[str, dict[str, Any]] = {
    "flat": {"kind": "flat"},
    "standard_normal": {"kind": "standard_normal"},
    "normal": {"kind": "normal"},
    "laplace": {"kind": "laplace"},
    "student_t": {"kind": "student_t"},
    "mixture": {"kind": "mixture", "components": 3},
    "vamp": {"kind": "vamp", "pseudo_inputs": 4},
    "flow": {"kind": "flow", "transforms": 2, "hidden_dims": [4]},
    "hierarchical": {"kind": "hierarchical", **TOP},
    "hierarchical, vamp": {
        "kind": "hierarchical",
        **TOP,
        "top": {"kind": "vamp", "pseudo_inputs": 4},
    },
}
LIKELIHOODS = {
    name: CASES[name]
    for name in (
        *(
            "bernoulli",
            "continuous_bernoulli",
            "binomial",
            "normal",
            "laplace",
            "student_t",
            "log_normal",
            "gamma",
        ),
        *(
            "beta",
            "poisson",
            "negative_binomial",
            "zero_inflated_poisson",
            "zero_inflated_negative_binomial, sized",
        ),
        *(
            "beta_binomial",
            "categorical",
            "ordinal",
            "multinomial",
            "discretized_logistic, mixture",
            "mixed",
            "mixed, ordinal",
            "distribution, Gumbel",
        ),
    )
}
GUIDES: dict[str, dict[str, Any]] = {
    "delta": {"kind": "delta"},
    "mean_field": {"kind": "mean_field"},
    "low_rank": {"kind": "low_rank", "rank": 1},
    "full_rank": {"kind": "full_rank"},
    "flow": {"kind": "flow", "transforms": 1, "hidden_dims": [4]},
    "hierarchical": {"kind": "hierarchical", "top_dim": TOP_DIM, "hidden_dim": 4},
    "semi_amortized": {"kind": "semi_amortized", "steps": 1},
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "elbo": {"kind": "elbo"},
    "elbo, analytic": {"kind": "elbo", "kl": "analytic"},
    "elbo, stl": {"kind": "elbo", "gradient": "stl"},
    "elbo, free bits": {"kind": "elbo", "free_bits": 0.01},
    "iwae": {"kind": "iwae", "num_particles": 2},
    "renyi": {"kind": "renyi", "alpha": 0.5, "num_particles": 2},
}
NORMALS = "standard_normal", "normal"
CLOSED_FORM = {
    *product(NORMALS, ["mean_field", "low_rank", "full_rank", "semi_amortized"]),
    *product(["laplace"], ["mean_field", "semi_amortized"]),
    *product(PRIORS, ["delta"]),
}
INDEPENDENT = set(product([*NORMALS, "laplace"], ["mean_field", "semi_amortized"]))


class Combination(NamedTuple):
    """One of each room, by name."""

    prior: str
    likelihood: str
    guide: str
    objective: str

    def __str__(self) -> str:
        return " x ".join(self)

    def toml(self) -> str:
        """The description of a run of three steps."""
        case = LIKELIHOODS[self.likelihood]
        fields = {
            "data_shape": case.data_shape,
            "latent_dim": LATENT_DIM,
            "prior": PRIORS[self.prior],
            "likelihood": case.options,
            "guide": GUIDES[self.guide],
            "hidden_dims": [8],
        }
        training = {
            "epochs": 3,
            "batch_size": 8,
            "validation": 0.0,
            "objective": OBJECTIVES[self.objective],
        }
        return "\n".join(
            f"{name} = {inline(value)}"
            for name, value in [*fields.items(), ("fit", training)]
        )

    def rows(self) -> Tensor:
        """Eight rows that the likelihood can hold, in float32."""
        return LIKELIHOODS[self.likelihood].rows[:8].to(torch.float32)


def inline(value: Any) -> str:
    """A value in TOML, on one line."""
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{name} = {inline(item)}" for name, item in value.items())
            + " }"
        )
    return (
        "[" + ", ".join(map(inline, value)) + "]"
        if isinstance(value, list | tuple)
        else json.dumps(value)
    )


def obstacle(prior: str, guide: str, objective: str) -> str | None:
    """What the refusal of a combination that makes no sense says; None where it makes sense."""
    point = guide == "delta"
    if prior == "flat" and not point:
        return "flat"
    if prior == "vamp" and guide in {"delta", "semi_amortized"}:
        return "vamp"
    if prior == "hierarchical, vamp" and guide != "hierarchical":
        return "vamp"
    if point and objective in {"elbo, stl", "iwae", "renyi"}:
        return "a point .guide 'delta'. has no density"
    if objective == "elbo, analytic" and (prior, guide) not in CLOSED_FORM:
        return "no closed-form KL"
    if objective == "elbo, free bits" and (prior, guide) not in INDEPENDENT:
        return "free_bits"
    return None


TRIPLES = list(product(PRIORS, GUIDES, OBJECTIVES))
REFUSED = [triple for triple in TRIPLES if obstacle(*triple) is not None]
GRID = [
    Combination(prior, likelihood, guide, objective)
    for prior, guide, objective in TRIPLES
    if obstacle(prior, guide, objective) is None
    for likelihood in LIKELIHOODS
]
IS_WHOLE = os.environ.get("PYRO_VAE_GRID") == "whole"
HALF = [
    combination
    for number, combination in enumerate(GRID)
    if IS_WHOLE or number % 2 == 0 or combination.objective == "elbo, free bits"
]
"""What runs by default: each prior, guide and objective still meets each likelihood."""
SAMPLE = GRID[:: len(GRID) // 24]
