"""A user's own parts: functions and modules, and what is refused because it can't be right."""

import pickle
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pyro_vae import VAE, evidence, fit, load, save
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.priors import PRIORS
from pyro_vae.spec import data_support
from pyro_vae.spec.gradients import leaves


def small(**fields: Any) -> VAE:
    return VAE(**{"data_shape": (4,), "latent_dim": 2, **fields})


def vector(*shape: int, scale: Any = 1.0) -> Distribution:
    return dist.Normal(torch.zeros(shape or (2,)), scale).to_event(1)


def prior() -> Distribution:
    return dist.Laplace(torch.zeros(2), 1.0).to_event(1)


def likelihood(z: Tensor) -> Distribution:
    return dist.Normal(torch.cat([z, -z], -1), 1.0).to_event(1)


def guide(x: Tensor) -> Distribution:
    return dist.Normal((x[:, :2] - x[:, 2:]) / 3, 3**-0.5).to_event(1)


def encoder(x: Tensor) -> Tensor:
    return torch.cat([x, x.square()], -1)


def decoder(z: Tensor) -> Tensor:
    return torch.cat([z, z], -1)


FUNCTIONS = {
    "prior": prior,
    "likelihood": likelihood,
    "guide": guide,
    "encoder": encoder,
    "decoder": decoder,
}


# Functions


@pytest.mark.parametrize("slot", FUNCTIONS)
def test_a_function_goes_where_a_module_goes(slot: str, tmp_path: Any) -> None:
    given = FUNCTIONS[slot]
    vae = small(**{slot: given})
    assert vae.spec.custom() == {slot: f"{__name__}.{given.__name__}"}
    fit(vae, torch.randn(30, 4), epochs=1, progress=False)
    save(vae, tmp_path / "run")
    x = torch.randn(3, 4)
    again = load(tmp_path / "run", **{slot: given})
    assert (
        evidence(again, x, num_particles=5).elbo
        == evidence(vae, x, num_particles=5).elbo
    ).all()
    with pytest.raises(
        ValueError,
        match=f"pass them: load.folder, {slot}=<your {__name__}.{given.__name__}>",
    ):
        load(tmp_path / "run")


def test_a_lambda_and_a_method_are_functions() -> None:
    assert (
        small(prior=lambda: vector())
        .spec.custom()["prior"]
        .endswith("functions.<locals>.<lambda>")
    )
    assert small(encoder=torch.sin).spec.encoder.kind == "custom"


def test_functions_give_the_exact_evidence() -> None:
    """z ~ N(0, I), x ~ N((z, -z), I), with the exact posterior as guide: x ~ N(0, I + W Wᵀ)."""
    vae = small(prior=lambda: vector(), likelihood=likelihood, guide=guide)
    x, weight = torch.randn(5, 4), torch.cat([torch.eye(2), -torch.eye(2)])
    exact = dist.MultivariateNormal(
        torch.zeros(4), torch.eye(4) + weight @ weight.T
    ).log_prob(x)
    torch.testing.assert_close(
        torch.tensor(evidence(vae, x, num_particles=3).log_marginal).float(), exact
    )


def test_the_name_of_a_function_is_printed() -> None:
    assert "p(z)      prior " in str(small(prior=prior))


def test_a_class_is_no_part() -> None:
    with pytest.raises(
        ValueError,
        match=r"^prior: expected an object, got the class Linear; pass Linear\(...\)",
    ):
        small(prior=nn.Linear)


# Parameters that no training would reach


def loose_parameter() -> nn.Parameter:
    return nn.Parameter(torch.ones(2))


NET = nn.Linear(2, 4)
LOST: dict[str, Callable[[], dict[str, Any]]] = {
    "a distribution": lambda: {"prior": vector(scale=loose_parameter())},
    "computed": lambda: {"prior": vector(scale=loose_parameter().exp())},
    "a transform": lambda: {
        "prior": dist.TransformedDistribution(vector(), [dist.transforms.Planar(2)])
    },
    "a mixture": lambda: {
        "prior": dist.MixtureSameFamily(
            dist.Categorical(logits=loose_parameter()), vector(2, 2)
        )
    },
    "a function": lambda: {
        "likelihood": lambda z: dist.Normal(NET(z), 1.0).to_event(1)
    },
    "a decoder": lambda: {"decoder": lambda z: NET(z)},
    "a list": lambda: {"likelihood": Hidden()},
    "a guide": lambda: {"guide": vector(scale=loose_parameter())},
}


class Hidden(nn.Module):
    """A module that forgot to register its network."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = [nn.Linear(2, 4)]

    def forward(self, z: Tensor) -> Distribution:
        return dist.Normal(self.networks[0](z), 1.0).to_event(1)


@pytest.mark.parametrize("name", LOST)
def test_parameters_outside_a_module_are_refused(name: str) -> None:
    fields = LOST[name]()
    (slot,) = fields
    remedy = "pass an nn.Module that has them as nn.Parameter"
    message = rf"^{slot}: .* training would not reach, of shape .*; {remedy}"
    with pytest.raises(ValueError, match=message):
        small(**fields)


def test_a_parameter_of_another_part_is_reached() -> None:
    class Shared(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.borrowed = (network,)

        def forward(self) -> Distribution:
            return vector(scale=self.borrowed[0].weight[:2, 0].exp())

    network = nn.Linear(2, 4)
    assert small(prior=Shared(network), decoder=network).spec.prior.kind == "custom"
    with pytest.raises(ValueError, match=r"^prior: .*not reach, of shape \(4, 2\)"):
        small(prior=Shared(network))


def test_leaves_are_what_a_distribution_is_computed_from() -> None:
    a, b = loose_parameter(), loose_parameter()
    mixture = dist.MixtureSameFamily(
        dist.Categorical(logits=a * 2),
        dist.Normal(torch.zeros(2, 2), b.exp()).to_event(1),
    )
    assert {id(leaf) for leaf in leaves(mixture)} == {id(a), id(b)}
    assert leaves(vector(scale=loose_parameter().detach())) == []


# Shapes


class Gives(nn.Module):
    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.distribution = distribution

    def forward(self, *inputs: Tensor) -> Distribution:
        return self.distribution


@pytest.mark.parametrize(
    ("slot", "batch", "message"),
    [
        (
            "prior",
            (3,),
            r"prior: expected batch shape \(\), one distribution for all rows, got \(3,\)",
        ),
        (
            "prior",
            (1,),
            r"prior: expected batch shape \(\), one distribution for all rows, got \(1,\)",
        ),
        (
            "guide",
            (3,),
            r"posterior: expected batch shape \(2,\), one distribution for each of 2 rows, got "
            r"\(3,\)",
        ),
        (
            "likelihood",
            (2, 2),
            r"likelihood: expected batch shape \(2,\), one distribution for each of 2 rows, got "
            r"\(2, 2\)",
        ),
    ],
)
def test_a_batch_shape_that_is_not_that_of_the_rows_is_refused(
    slot: str, batch: tuple[int, ...], message: str
) -> None:
    size = 4 if slot == "likelihood" else 2
    with pytest.raises(ValueError, match=f"^{message}"):
        small(**{slot: vector(*batch, size)})


def test_a_likelihood_is_called_with_several_draws_of_z() -> None:
    """As `evidence` does; one that takes rows only would fail later, or mix draws and rows up."""
    message = r"likelihood: expected batch shape \(3, 2\) for z of shape \(3, 2, 2\), got \(3,\)"
    with pytest.raises(ValueError, match=f"^{message}"):
        small(
            likelihood=lambda z: dist.Normal(
                torch.cat([z[:, :2], z[:, :2]], -1).reshape(len(z), -1, 4)[:, 0], 1.0
            ).to_event(1)
        )
    with pytest.raises(
        ValueError, match=r"^likelihood: failed on zeros of shape \(3, 2, 2\): "
    ):
        small(
            likelihood=lambda z: dist.Normal(
                torch.cat([z[:, 0:1]] * 4, 1).reshape(len(z), 4), 1.0
            ).to_event(1)
        )


@pytest.mark.parametrize(
    "error",
    [AttributeError("no such thing"), KeyError("key"), ZeroDivisionError("by zero")],
)
def test_whatever_a_part_raises_is_told_with_its_name(error: Exception) -> None:
    def broken() -> Distribution:
        raise error

    with pytest.raises(
        ValueError, match=r"^prior: failed without arguments: "
    ) as refused:
        small(prior=broken)
    assert refused.value.__cause__ is error


# Supports


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"guide": dist.LogNormal(torch.zeros(2), 1.0).to_event(1)},
            "the support of the prior, of real numbers, got of numbers above 0: only one of them "
            "allows z = -3",
        ),
        (
            {"prior": dist.Gamma(torch.ones(2), 1.0).to_event(1)},
            "the support of the prior, of numbers .*, got of real numbers: only one of them allows "
            "z = -3",
        ),
        (
            {"prior": dist.Uniform(torch.zeros(2), 1.0).to_event(1)},
            r"the support of the prior, \[0, 1\], got of real numbers: only one of them allows z = "
            r"-3",
        ),
        (
            {"prior": dist.Dirichlet(torch.ones(2))},
            "the support of the prior, Simplex.*, got of real numbers",
        ),
    ],
)
def test_a_guide_and_a_prior_on_other_vectors_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(
        ValueError,
        match=f"^guide: expected {message}.*; change the guide or the prior$",
    ):
        small(**fields)


def test_a_guide_and_a_prior_on_the_same_vectors_go_together() -> None:
    positive = dist.LogNormal(torch.zeros(2), 1.0).to_event(1)
    vae = small(prior=positive, guide=dist.LogNormal(torch.ones(2), 0.5).to_event(1))
    assert evidence(vae, torch.randn(3, 4), num_particles=5).elbo.shape == (3,)


@pytest.mark.parametrize(
    ("family", "support"),
    [
        (lambda z: dist.Poisson(decoder(z).exp()), constraints.nonnegative_integer),
        (
            lambda z: dist.Binomial(3, logits=decoder(z)),
            constraints.integer_interval(0, 3),
        ),
        (lambda z: dist.Gamma(decoder(z).exp(), 1.0), constraints.nonnegative),
        (lambda z: dist.Uniform(decoder(z), decoder(z) + 1), constraints.real),
        (lambda z: dist.Normal(decoder(z), 1.0), constraints.real),
    ],
)
def test_the_data_that_a_likelihood_of_the_users_can_hold(
    family: Callable[[Tensor], Distribution], support: Any
) -> None:
    vae = small(likelihood=lambda z: family(z).to_event(1))
    found, _ = data_support(vae.likelihood, 2)
    x = torch.tensor([[-1.0, 0.0, 0.5, 2.0], [3.0, 4.0, 1.0, 0.0]])
    assert torch.equal(found.check(x), support.check(x))


def test_the_data_that_a_kind_can_hold() -> None:
    assert data_support(small(likelihood="gamma").likelihood, 2) == (
        constraints.positive,
        LIKELIHOODS["gamma"].remedy,
    )


# Fields that nothing would read


OWN_GUIDE = "your own guide brings its network; pass guide= or"
OWN_LIKELIHOOD = "your own likelihood brings its network; pass likelihood= or"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"likelihood": likelihood, "decoder": "gated_mlp"},
            f"decoder: {OWN_LIKELIHOOD} decoder=, not both",
        ),
        (
            {"likelihood": likelihood, "decoder": {"kind": "mlp", "hidden_dims": [3]}},
            f"decoder: {OWN_LIKELIHOOD}",
        ),
        (
            {"guide": guide, "encoder": "gated_mlp"},
            f"encoder: {OWN_GUIDE} encoder=, not both",
        ),
        ({"guide": guide, "denoise": 0.1}, f"denoise: {OWN_GUIDE}"),
        ({"guide": guide, "standardize": "all"}, f"standardize: {OWN_GUIDE}"),
        (
            {"guide": guide, "likelihood": likelihood, "hidden_dims": (3,)},
            "hidden_dims: your own guide and likelihood are",
        ),
        (
            {"encoder": encoder, "decoder": decoder, "activation": "tanh"},
            "activation: your own encoder and decoder are",
        ),
    ],
)
def test_a_field_that_nothing_would_read_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        small(**fields)


def test_a_field_that_something_reads_is_not() -> None:
    assert small(
        likelihood=likelihood, hidden_dims=(3,), encoder="gated_mlp", denoise=0.1
    ).spec.hidden_dims == (3,)
    assert small(
        guide=guide, hidden_dims=(3,), decoder="gated_mlp"
    ).spec.hidden_dims == (3,)
    assert (
        small(
            guide=guide, likelihood=likelihood, decoder="mlp", hidden_dims=(128, 128)
        ).spec.decoder.kind
        == "mlp"
    )


# Registered kinds that are not what their room needs


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries that are put back."""
    for registry in (PRIORS, LIKELIHOODS):
        monkeypatch.setattr(registry, "_constructors", dict(registry._constructors))


@pytest.mark.usefixtures("kinds")
def test_a_registered_prior_makes_a_module() -> None:
    @PRIORS.register("bare")
    def bare(latent_dim: int) -> Distribution:
        return vector(latent_dim)

    expected = "expected .*bare to make an nn.Module, got Independent"
    message = rf"^prior 'bare': {expected}; wrap it: pyro_vae.priors.Constant"
    with pytest.raises(ValueError, match=message):
        small(prior="bare")


@pytest.mark.usefixtures("kinds")
def test_a_registered_likelihood_is_a_family() -> None:
    LIKELIHOODS.register("hidden")(lambda data_shape: Hidden())
    with pytest.raises(
        ValueError,
        match=r"^likelihood 'hidden': expected a Family with param_shape.*, got Hidden",
    ):
        small(likelihood="hidden")


@pytest.mark.parametrize(
    "top", [prior, prior(), Gives(prior())], ids=["function", "distribution", "module"]
)
def test_an_object_inside_a_part_is_refused(top: Any) -> None:
    with pytest.raises(
        ValueError,
        match=r"^prior\.hierarchical\.top: unknown prior.*an object can only replace a whole prior",
    ):
        small(prior={"kind": "hierarchical", "top_dim": 1, "top": top})


# Pickle


@pytest.mark.parametrize(
    "fields",
    [
        {"prior": {"kind": "hierarchical", "top_dim": 1, "top": "mixture"}},
        {
            "prior": {"kind": "vamp", "pseudo_inputs": 3},
            "likelihood": {"kind": "binomial", "total_count": 3},
        },
        {
            "likelihood": {
                "kind": "mixed",
                "columns": [{"columns": "0:4", "kind": "normal"}],
            },
            "guide": "flow",
        },
        {"prior": Gives(prior()), "likelihood": likelihood, "guide": "semi_amortized"},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_a_model_survives_pickle(fields: dict[str, Any]) -> None:
    """With programs of its own names: of two with one name, Pyro's SVI would train only one."""
    vae = small(**fields)
    again = pickle.loads(pickle.dumps(vae))
    assert again.spec == vae.spec
    assert str(again) == str(vae)
    for (name, value), (other_name, other) in zip(
        vae.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(value, other)
    assert again.model._pyro_name != vae.model._pyro_name
    x = torch.zeros(3, 4)
    torch.testing.assert_close(again.posterior(x).mean, vae.posterior(x).mean)
