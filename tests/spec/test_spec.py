"""The description of a model: keywords, dicts and files to modules and back, and its errors."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae import ELBO, VAE, Spec
from pyro_vae.guides import GUIDES
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.networks import NETWORKS, Gated
from pyro_vae.priors import PRIORS, Constant
from pyro_vae.registry import Registry
from pyro_vae.spec import SLOTS, describe, read

FIELDS: dict[str, Any] = {
    "data_shape": (2, 3),
    "latent_dim": 3,
    "prior": "standard_normal",
    "likelihood": {"kind": "binomial", "total_count": 4},
    "guide": "full_rank",
    "hidden_dims": (7, 5),
    "activation": "tanh",
    "encoder": "gated_mlp",
    "decoder": {"kind": "mlp", "hidden_dims": [6], "activation": "relu"},
    "standardize": "all",
    "denoise": 0.1,
    "seed": 5,
}
TOML = """
data_shape = [2, 3]
latent_dim = 3
prior = "standard_normal"
guide = {kind = "full_rank"}
hidden_dims = [7, 5]
activation = "tanh"
standardize = "all"
denoise = 0.1
seed = 5

[likelihood]
kind = "binomial"
total_count = 4

[encoder]
kind = "gated_mlp"

[decoder]
kind = "mlp"
hidden_dims = [6]
activation = "relu"
"""


def rows(n: int = 6, *shape: int) -> Tensor:
    return torch.randn(n, *(shape or (4,)), generator=torch.Generator().manual_seed(0))


def small(**fields: Any) -> VAE:
    return VAE(**{"data_shape": (4,), "latent_dim": 2, "hidden_dims": (8,), **fields})


def weights(vae: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in vae.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(
        torch.equal(first[name], second[name]) for name in first
    )


# One model, however it is described


def from_keywords(folder: Path) -> VAE:
    return VAE(**FIELDS)


def from_dict(folder: Path) -> VAE:
    return VAE.from_spec(FIELDS)


def from_a_spec(folder: Path) -> VAE:
    return VAE.from_spec(Spec(**FIELDS))


def from_toml(folder: Path) -> VAE:
    (folder / "spec.toml").write_text(TOML, encoding="utf-8")
    return VAE.from_spec(folder / "spec.toml")


def from_json(folder: Path) -> VAE:
    (folder / "spec.json").write_text(json.dumps(FIELDS), encoding="utf-8")
    return VAE.from_spec(str(folder / "spec.json"))


def from_its_own_description(folder: Path) -> VAE:
    text = VAE(**FIELDS).spec.model_dump_json()
    assert Spec.model_validate_json(text) == Spec(**FIELDS)
    return VAE.from_spec(json.loads(text))


@pytest.mark.parametrize(
    "make",
    [
        from_keywords,
        from_dict,
        from_a_spec,
        from_toml,
        from_json,
        from_its_own_description,
    ],
)
def test_one_model_however_it_is_described(
    make: Callable[[Path], VAE], tmp_path: Path
) -> None:
    vae, expected = make(tmp_path), VAE(**FIELDS)
    assert vae.spec == expected.spec
    assert same(vae, expected)
    assert str(vae) == str(expected)


def test_parts_replace_fields_of_a_description() -> None:
    vae = VAE.from_spec(FIELDS, latent_dim=2, likelihood="bernoulli")
    assert (vae.spec.latent_dim, vae.spec.likelihood.kind, vae.spec.guide.kind) == (
        2,
        "bernoulli",
        "full_rank",
    )
    assert VAE.from_spec(Spec(**FIELDS), seed=6).spec.seed == 6


def test_the_description_is_what_is_built() -> None:
    vae = VAE(**FIELDS)
    encoder = [type(layer) for layer in vae.posterior.encoder]
    decoder = [
        layer for layer in vae.likelihood.decoder if isinstance(layer, nn.Linear)
    ]
    assert encoder == [nn.Flatten, Gated, Gated]
    assert [(layer.in_features, layer.out_features) for layer in decoder] == [
        (3, 6),
        (6, 6),
    ]
    assert any(isinstance(layer, nn.ReLU) for layer in vae.likelihood.decoder)
    assert type(vae.posterior.family) is GUIDES["full_rank"]
    assert vae.likelihood.family.total_count == 4
    assert (vae.posterior.standardize.mode, vae.posterior.standardize.noise) == (
        "all",
        0.1,
    )


def test_networks_take_the_widths_and_the_activation_of_the_model() -> None:
    """The decoder in reverse; options of their own come first."""

    def widths(network: nn.Module) -> list[int]:
        return [layer.out_features for layer in network if isinstance(layer, nn.Linear)]

    vae = small(hidden_dims=(9, 8, 7), activation="elu")
    assert widths(vae.posterior.encoder) == [9, 8, 7]
    assert widths(vae.likelihood.decoder) == [7, 8, 9, 4]
    for network in (vae.posterior.encoder, vae.likelihood.decoder):
        assert sum(isinstance(layer, nn.ELU) for layer in network) == 3
    own = small(
        hidden_dims=(9, 8), encoder={"kind": "mlp", "hidden_dims": ()}, activation="elu"
    )
    assert widths(own.posterior.encoder) == []
    assert widths(own.likelihood.decoder) == [8, 9, 4]


OTHER_OPTIONS = {
    "covariance": "diagonal",
    "rank": None,
    "start": "independent",
    "initial_scale": 1.0,
    "warp": "none",
}
"""The other options of a normal likelihood."""


def test_defaults_are_the_documented_ones() -> None:
    spec = Spec(data_shape=(4,))
    kinds = {slot: getattr(spec, slot).kind for slot in SLOTS}
    assert kinds == {
        "prior": "standard_normal",
        "likelihood": "normal",
        "guide": "mean_field",
        "encoder": "mlp",
        "decoder": "mlp",
    }
    assert spec == VAE(data_shape=(4,)).spec
    assert spec.likelihood.options() == {"scale": "auto", **OTHER_OPTIONS}


@pytest.mark.parametrize("room", ["prior", "likelihood", "guide", "encoder", "decoder"])
def test_a_name_is_a_table_with_that_kind(room: str) -> None:
    registry = {"prior": PRIORS, "likelihood": LIKELIHOODS, "guide": GUIDES}.get(
        room, NETWORKS
    )
    for kind in registry:
        options_of = registry.options(kind)
        if kind == "flat" or any(
            field.is_required() for field in options_of.model_fields.values()
        ):
            continue
        options = options_of()
        specs = [
            Spec.model_validate({"data_shape": (4,), room: given})
            for given in (kind, {"kind": kind}, options)
        ]
        assert specs[0] == specs[1] == specs[2]
        assert getattr(specs[0], room) == options


@pytest.mark.parametrize(
    "likelihood", ["auto", "learned", "per_feature", "decoder", 0.5]
)
def test_options_survive_json(likelihood: Any) -> None:
    spec = Spec(data_shape=(4,), likelihood={"kind": "normal", "scale": likelihood})
    again = Spec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.likelihood.options() == {"scale": likelihood, **OTHER_OPTIONS}


def test_a_description_is_frozen() -> None:
    spec = Spec(data_shape=(4,))
    with pytest.raises(ValidationError, match="frozen"):
        spec.latent_dim = 3


# What is wrong, and where


def unknown(room: str, got: str, registry: Registry, close: str | None = None) -> str:
    allowed = ", ".join(map(repr, registry))
    ending = ""
    if close:
        ending = f"; did you mean {close!r}?"
    elif got.startswith("'"):
        ending = (
            "; one of your own? import its module first, or install it with an entry point in the "
            f"group 'pyro_vae.{room}s'"
        )
    return f"unknown {room} {got}; allowed: {allowed}{ending}"


EXAMPLE = '{"kind": "binomial", "total_count": 16}'
NEEDED = f"'binomial' needs total_count, for example likelihood={EXAMPLE}"
Wrong = tuple[dict[str, Any], str, str]
WRONG: dict[str, Wrong] = {
    "a prior": (
        {"prior": "standart_normal"},
        "prior",
        unknown("prior", "'standart_normal'", PRIORS, "standard_normal"),
    ),
    "a likelihood": (
        {"likelihood": {"kind": "bernouli"}},
        "likelihood",
        unknown("likelihood", "'bernouli'", LIKELIHOODS, "bernoulli"),
    ),
    "a guide": (
        {"guide": "meanfield"},
        "guide",
        unknown("guide", "'meanfield'", GUIDES, "mean_field"),
    ),
    "an encoder": (
        {"encoder": "gated-mlp"},
        "encoder",
        unknown("network", "'gated-mlp'", NETWORKS, "gated_mlp"),
    ),
    "a decoder": (
        {"decoder": {"kind": "xyz"}},
        "decoder",
        unknown("network", "'xyz'", NETWORKS),
    ),
    "no kind": ({"guide": {}}, "guide", unknown("guide", "{}", GUIDES)),
    "no table": ({"guide": 3}, "guide", unknown("guide", "3", GUIDES)),
    "a missing option": (
        {"likelihood": "binomial"},
        "likelihood.binomial.total_count",
        NEEDED,
    ),
    "an option": (
        {"likelihood": {"kind": "binomial", "total_count": 0}},
        "likelihood.binomial.total_count",
        "Input should be greater than 0",
    ),
    "an unknown option": (
        {"likelihood": {"kind": "bernoulli", "scale": 1}},
        "likelihood.bernoulli.scale",
        "unknown field; allowed: 'kind'",
    ),
    "a width": (
        {"encoder": {"kind": "mlp", "hidden_dims": [0]}},
        "encoder.mlp.hidden_dims.0",
        "Input should be greater than 0",
    ),
    "an unknown field": (
        {"latent_dims": 2},
        "latent_dims",
        "unknown field; allowed: 'data_shape', ",
    ),
    "no latents": ({"latent_dim": 0}, "latent_dim", "Input should be greater than 0"),
    "no features": (
        {"data_shape": ()},
        "data_shape",
        "Tuple should have at least 1 item after validation, not 0",
    ),
    "a mode": (
        {"standardize": "row"},
        "standardize",
        "Input should be 'feature', 'all' or 'none'",
    ),
    "negative noise": (
        {"denoise": -1},
        "denoise",
        "Input should be greater than or equal to 0",
    ),
    "infinite noise": (
        {"denoise": float("inf")},
        "denoise",
        "Input should be a finite number",
    ),
    "a negative seed": (
        {"seed": -1},
        "seed",
        "Input should be greater than or equal to 0",
    ),
    "a large seed": ({"seed": 2**63}, "seed", f"Input should be less than {2**63}"),
    "custom without a type": (
        {"prior": "custom"},
        "prior.custom.type",
        "'custom' needs type",
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(
    "make", [Spec.model_validate, VAE.from_spec], ids=["Spec", "VAE"]
)
def test_errors_name_the_place_and_what_is_allowed(
    name: str, make: Callable[[Any], Any]
) -> None:
    fields, path, message = WRONG[name]
    with pytest.raises(
        ValueError, match="^" + re.escape(f"{path}: {message}")
    ) as error:
        make({"data_shape": (4,), **fields})
    assert "pydantic" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"activation": "tahn"}, "activation"),
        ({"encoder": {"kind": "mlp", "activation": "tahn"}}, "encoder.mlp.activation"),
    ],
)
def test_an_unknown_activation_is_named_with_its_path(
    fields: dict[str, Any], path: str
) -> None:
    unknown = r"unknown activation 'tahn'; allowed: 'celu', .*; did you mean 'tanh'\?"
    message = f"^{re.escape(path)}: {unknown}$"
    with pytest.raises(ValueError, match=message):
        small(**fields)


def test_several_errors_are_listed_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"^data_shape: needed, and not given"
    ) as error:
        Spec.model_validate({"latent_dim": 0, "prior": "none"})
    assert [
        line.partition(":")[0].strip() for line in str(error.value).splitlines()
    ] == [
        "data_shape",
        "latent_dim",
        "prior",
    ]


@pytest.mark.parametrize("guide", sorted(set(GUIDES) - {"delta"}))
def test_a_flat_prior_needs_a_point(guide: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"prior 'flat' has no density, so guide '{guide}' would spread without bound",
    ):
        small(
            prior="flat",
            guide={
                "kind": guide,
                **({"top_dim": 1} if guide == "hierarchical" else {}),
            },
        )
    assert small(prior="flat", guide="delta").spec.prior.kind == "flat"


def test_an_unknown_keyword_is_told_with_the_nearest() -> None:
    with pytest.raises(
        ValueError,
        match=r"^VAE: unknown argument 'latent_dims'; .* did you mean 'latent_dim'",
    ):
        VAE(data_shape=(4,), latent_dims=2)  # type: ignore[call-arg]


# Files


def test_read_takes_a_dict_as_it_is() -> None:
    assert read(FIELDS) == FIELDS
    assert read(FIELDS) is not FIELDS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "spec.yaml",
            "a: 1",
            r"expected a description in a \.toml or \.json file, got suffix '\.yaml'",
        ),
        ("spec", "a = 1", r"got suffix ''"),
        ("spec.toml", "a = = 1", r"expected TOML, got: "),
        ("spec.json", "{", r"expected JSON, got: "),
        ("spec.toml", None, r"the description can't be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}"):
        VAE.from_spec(path)


# Parts of the user's


class AtZero(nn.Module):
    """A prior of the user's, with a parameter."""

    def __init__(self, latent_dim: int = 2) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self) -> Distribution:
        return dist.Laplace(
            torch.zeros_like(self.log_scale), self.log_scale.exp()
        ).to_event(1)


class Rounded(nn.Module):
    """A likelihood of the user's, which brings its network."""

    def __init__(self, latent_dim: int = 2, size: int = 4) -> None:
        super().__init__()
        self.network = nn.Linear(latent_dim, size)

    def forward(self, z: Tensor) -> Distribution:
        return dist.StudentT(3.0, self.network(z), 1.0).to_event(1)


class Narrow(nn.Module):
    """A guide of the user's."""

    def __init__(self, size: int = 4, latent_dim: int = 2) -> None:
        super().__init__()
        self.network = nn.Linear(size, latent_dim)

    def forward(self, x: Tensor) -> Distribution:
        return dist.Normal(self.network(x), 0.1).to_event(1)


def a_module(slot: str) -> nn.Module:
    made = {"prior": AtZero, "likelihood": Rounded, "guide": Narrow}
    return made[slot]()


DISTRIBUTIONS = {
    "prior": dist.Laplace(torch.zeros(2), 1.0).to_event(1),
    "likelihood": dist.Normal(torch.zeros(4), 2.0).to_event(1),
    "guide": dist.Normal(torch.ones(2), 0.5).to_event(1),
}
ROLE = {"prior": "prior", "likelihood": "likelihood", "guide": "posterior"}
every_slot = pytest.mark.parametrize("slot", ROLE)


@every_slot
def test_a_module_that_gives_a_distribution_is_a_part(slot: str) -> None:
    own = a_module(slot)
    vae, x = small(**{slot: own}), rows()
    assert getattr(vae, ROLE[slot]) is own
    assert set(own.parameters()) <= set(vae.parameters())
    torch.manual_seed(0)
    ELBO()(vae.model, vae.guide, x).elbo.mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in vae.parameters())
    assert type(own).__name__ in str(vae)


@every_slot
def test_a_plain_distribution_is_a_part(slot: str) -> None:
    given = DISTRIBUTIONS[slot]
    vae, x = small(**{slot: given}), rows()
    part = getattr(vae, ROLE[slot])
    assert isinstance(part, Constant)
    assert part(*([] if slot == "prior" else [x])) is given
    torch.manual_seed(0)
    terms = ELBO(kl="monte_carlo")(vae.model, vae.guide, x)
    assert terms.elbo.shape == (6,)
    assert terms.elbo.isfinite().all()


def test_encoder_and_decoder_are_any_modules() -> None:
    encoder = nn.Sequential(nn.Conv1d(1, 3, 2), nn.Flatten())
    decoder = nn.Sequential(nn.Linear(2, 8), nn.Unflatten(-1, (2, 4)))
    vae = VAE(
        data_shape=(1, 4),
        latent_dim=2,
        encoder=encoder,
        decoder=decoder,
        likelihood={"kind": "normal", "scale": "decoder"},
    )
    assert vae.posterior.encoder is encoder
    assert vae.likelihood.decoder is decoder
    assert vae.posterior.family.head.in_features == 9
    assert ELBO()(vae.model, vae.guide, rows(6, 1, 4)).elbo.shape == (6,)


def test_an_empty_module_is_a_module_too() -> None:
    """`nn.Sequential()` is the identity, and has the truth value of an empty list."""
    encoder, decoder = nn.Sequential(), nn.Sequential()
    vae = VAE(data_shape=(2,), latent_dim=2, encoder=encoder, decoder=decoder)
    assert vae.posterior.encoder is encoder
    assert vae.likelihood.decoder is decoder


@pytest.mark.parametrize(
    ("slot", "part", "kind"),
    [
        ("prior", AtZero(), f"{__name__}.AtZero"),
        ("likelihood", Rounded(), f"{__name__}.Rounded"),
        ("guide", Narrow(), f"{__name__}.Narrow"),
        ("encoder", nn.Linear(4, 3), "torch.nn.modules.linear.Linear"),
        ("decoder", nn.Linear(2, 4), "torch.nn.modules.linear.Linear"),
        ("prior", DISTRIBUTIONS["prior"], "pyro.distributions.torch.Independent"),
    ],
)
def test_the_description_keeps_the_type_of_a_part_of_the_users(
    slot: str, part: Any, kind: str
) -> None:
    vae = small(**{slot: part})
    assert vae.spec.custom() == {slot: kind}
    text = vae.spec.model_dump_json()
    assert json.loads(text)[slot] == {"kind": "custom", "type": kind}
    assert Spec.model_validate_json(text) == vae.spec
    assert same(VAE.from_spec(json.loads(text), **{slot: part}), vae)
    with pytest.raises(
        ValueError,
        match=f"^{slot}: the description names your own {re.escape(kind)}; pass the object",
    ):
        VAE.from_spec(json.loads(text))


def test_describe_splits_objects_from_the_description() -> None:
    own, plain = AtZero(), DISTRIBUTIONS["guide"]
    spec, objects = describe(
        {"data_shape": (4,), "prior": own, "guide": plain, "likelihood": "bernoulli"}
    )
    assert set(spec.custom()) == set(objects) == {"prior", "guide"}
    assert objects["prior"] is own
    assert objects["guide"].distribution is plain
    assert spec.likelihood.kind == "bernoulli"


@pytest.mark.parametrize(
    ("whole", "network", "part"),
    [("likelihood", "decoder", nn.Linear(2, 4)), ("guide", "encoder", nn.Linear(4, 4))],
)
def test_a_part_that_brings_its_network_takes_no_other(
    whole: str, network: str, part: nn.Module
) -> None:
    message = (
        f"^{network}: your own {whole} brings its network; pass {whole}= or {network}=, "
        "not both$"
    )
    with pytest.raises(ValueError, match=message):
        small(**{whole: a_module(whole), network: part})


def test_a_flat_prior_goes_with_a_guide_of_the_users() -> None:
    assert small(prior="flat", guide=Narrow()).spec.guide.kind == "custom"


class Returns(nn.Module):
    """Whatever it was given."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, *inputs: Tensor) -> Any:
        return self.value


WRONG_PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "prior, size": (
        {"prior": AtZero(3)},
        r"prior: expected event shape \(2,\), got \(3,\) \(batch shape \(\)\)",
    ),
    "prior, no event": (
        {"prior": dist.Normal(torch.zeros(2), 1.0)},
        r"prior: expected event shape \(2,\), got \(\) \(batch shape \(2,\)\); .*\.to_event\(k\)",
    ),
    "likelihood, size": (
        {"likelihood": Rounded(size=5)},
        r"likelihood: expected event shape \(4,\), got \(5,\)",
    ),
    "likelihood, input": (
        {"likelihood": Rounded(latent_dim=3)},
        r"likelihood: failed on zeros of shape \(2, 2\): .*2x2 and 3x4",
    ),
    "guide, size": (
        {"guide": Narrow(latent_dim=3)},
        r"posterior: expected event shape \(2,\), got \(3,\)",
    ),
    "guide, input": (
        {"guide": Narrow(size=5)},
        r"posterior: failed on zeros of shape \(2, 4\): .*2x4 and 5x2",
    ),
    "prior, tensor": (
        {"prior": Returns(torch.zeros(2))},
        "prior: expected a module that returns a Distribution, got Tensor",
    ),
    "likelihood, none": (
        {"likelihood": Returns(None)},
        "likelihood: expected a module that returns a Distribution, got NoneType",
    ),
    "guide, tuple": (
        {"guide": Returns((1, 2))},
        "posterior: expected a module that returns a Distribution, got tuple",
    ),
    "decoder, output": (
        {"decoder": nn.Linear(2, 5)},
        r"decoder: expected 4 numbers for each row "
        r"for the likelihood Normal \(shape \(4,\)\), got \(2, "
        r"5\) for 2 rows",
    ),
    "decoder, scale": (
        {
            "decoder": nn.Linear(2, 4),
            "likelihood": {"kind": "normal", "scale": "decoder"},
        },
        r"decoder: expected 8 numbers for each row "
        r"for the likelihood Normal \(shape \(2, 4\)\), got \(2, "
        r"4\)",
    ),
    "decoder, tuple": (
        {"decoder": Returns((1, 2))},
        "decoder: expected 4 numbers for each row .* got tuple",
    ),
    "decoder, input": (
        {"decoder": nn.Linear(3, 4)},
        r"likelihood: failed on zeros of shape \(2, 2\): .*2x2 and 3x4",
    ),
    "encoder, 3-d": (
        {"encoder": nn.Unflatten(-1, (2, 2))},
        r"encoder: expected features of shape \(n, width\) for n = 2 rows, got \(2, 2, 2\); "
        r"flatten its output",
    ),
    "encoder, 1-d": (
        {"encoder": nn.Flatten(0)},
        r"encoder: expected features of shape \(n, width\) for n = 2 rows, got \(8,\)",
    ),
    "encoder, rows": (
        {"encoder": Returns(torch.zeros(1, 4))},
        r"encoder: expected .* for n = 2 rows, got \(1, 4\)",
    ),
    "encoder, tuple": ({"encoder": Returns((1, 2))}, "encoder: expected .* got tuple"),
    "encoder, input": (
        {"encoder": nn.Linear(5, 3)},
        r"encoder: failed on zeros of shape \(2, 4\): .*2x4 and 5x3",
    ),
}


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_a_part_of_another_shape_is_refused(name: str) -> None:
    """With the part, what was expected and what it gave."""
    fields, message = WRONG_PARTS[name]
    with pytest.raises(ValueError, match=f"^{message}"):
        small(**fields)


# Construction changes nothing but the new model


def state_of_the_world() -> dict[str, Any]:
    return {
        "torch's generator": torch.get_rng_state().tolist(),
        "numpy's generator": str(np.random.get_state()),  # noqa: NPY002
        "random's generator": random.getstate(),
        "torch's validation": Distribution._validate_args,
        "Pyro's settings": pyro.settings.get(),
        "the parameter store": list(pyro.get_param_store().keys()),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's dtype": torch.get_default_dtype(),
    }


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("wrong", [False, True])
def test_construction_leaves_the_world_as_it_was(validation: bool, wrong: bool) -> None:
    with pyro.validation_enabled(validation):
        before = state_of_the_world()
        if wrong:
            with pytest.raises(
                ValueError, match=r"^prior: expected event shape \(2,\)"
            ):
                small(prior=AtZero(3))
        else:
            small()
            VAE(**FIELDS)
        assert state_of_the_world() == before


def test_the_seed_decides_the_weights() -> None:
    assert same(small(seed=3), small(seed=3))
    first, other = weights(small(seed=3)), weights(small(seed=4))
    drawn = [name for name, value in first.items() if name.endswith("weight")]
    assert len(drawn) == 4
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_the_seed_does_not_depend_on_what_was_drawn_before() -> None:
    torch.manual_seed(0)
    first = small()
    torch.randn(100)
    assert same(small(), first)


class Stateful(nn.Module):
    """An encoder with running statistics, dropout, and one layer that stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.frozen, self.dropout = (
            nn.BatchNorm1d(4),
            nn.BatchNorm1d(4),
            nn.Dropout(0.5),
        )
        self.frozen.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.frozen(self.norm(x)))


def test_construction_does_not_touch_the_parts_it_is_given() -> None:
    encoder = Stateful()
    before, modes = weights(encoder), [module.training for module in encoder.modules()]
    small(encoder=encoder)
    assert all(
        torch.equal(value, before[name]) for name, value in encoder.state_dict().items()
    )
    assert [module.training for module in encoder.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_are_tried_in_their_own_dtype(dtype: torch.dtype) -> None:
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        encoder=nn.Linear(4, 3).to(dtype),
        decoder=nn.Linear(2, 4).to(dtype),
    )
    parts = vae.posterior, vae.likelihood
    values = [value for part in parts for value in part.state_dict().values()]
    assert {value.dtype for value in values if value.is_floating_point()} == {dtype}
    assert vae.posterior(rows().to(dtype)).mean.dtype == dtype
    assert (
        ELBO()(vae.double().model, vae.guide, rows().double()).elbo.dtype
        == torch.float64
    )


# The JSON schema


def test_the_schema_holds_every_kind() -> None:
    schema = Spec.model_json_schema()
    names = {room: schema["properties"][room] for room in SLOTS}
    registries = {
        "prior": PRIORS,
        "likelihood": LIKELIHOODS,
        "guide": GUIDES,
        "encoder": NETWORKS,
        "decoder": NETWORKS,
    }
    for room, registry in registries.items():
        by_name, by_table = names[room]["anyOf"]
        assert by_name == {"enum": list(registry)}
        tables = by_table["oneOf"]
        kinds = [f"{kind}_{registry.room}" for kind in registry]
        assert [table["$ref"].rpartition("/")[2] for table in tables] == [
            *kinds,
            "Custom",
        ]
        assert {*kinds, "Custom"} <= set(schema["$defs"])
    assert schema["required"] == ["data_shape"]
    assert schema["additionalProperties"] is False
    assert all("description" in field for field in schema["properties"].values())


def test_the_schema_fits_what_is_written() -> None:
    """Every field of a dumped description is in the schema, and so are the options of each kind."""
    schema = Spec.model_json_schema()
    for likelihood in ("bernoulli", "normal", {"kind": "binomial", "total_count": 3}):
        dumped = json.loads(
            Spec(data_shape=(4,), likelihood=likelihood).model_dump_json()
        )
        assert list(dumped) == list(schema["properties"])
        for slot in SLOTS:
            room = "network" if slot in {"encoder", "decoder"} else slot
            definition = schema["$defs"][f"{dumped[slot]['kind']}_{room}"]
            assert set(dumped[slot]) == set(definition["properties"])
            assert definition["properties"]["kind"]["const"] == dumped[slot]["kind"]
            assert definition["additionalProperties"] is False
    assert schema["$defs"]["binomial_likelihood"]["required"] == ["total_count"]
    scales = schema["$defs"]["normal_likelihood"]["properties"]["scale"]["anyOf"]
    assert {
        "enum": ["auto", "learned", "per_feature", "decoder"],
        "type": "string",
    } in scales
