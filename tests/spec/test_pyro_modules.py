"""A user's PyroModules as parts, made with global parameters, and `to_pyro_module_`."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pyro
import pyro.contrib.gp as gp
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from pyro.nn.module import to_pyro_module_
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

import pyro_vae as pv
from pyro_vae.rng import own_seed

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))


class Prior(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(2))
        self.scale = PyroParam(torch.ones(2), constraints.positive)

    def forward(self) -> Distribution:
        return dist.Normal(self.loc, self.scale).to_event(1)


class Guide(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = PyroModule[nn.Sequential](
            PyroModule[nn.Linear](4, 8), nn.SiLU(), PyroModule[nn.Linear](8, 4)
        )

    def forward(self, x: Tensor) -> Distribution:
        loc, log_scale = self.net(x).chunk(2, -1)
        return dist.Normal(loc, log_scale.exp()).to_event(1)


class Likelihood(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = PyroModule[nn.Linear](2, 4)
        self.scale = PyroParam(torch.tensor(1.0), constraints.positive)

    def forward(self, z: Tensor) -> Distribution:
        return dist.Normal(self.net(z), self.scale).to_event(1)


class Process(nn.Module):
    """A Gaussian process at the inputs 0 and 1, with Pyro's kernel below a plain module."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = gp.kernels.RBF(1)

    def forward(self) -> Distribution:
        inputs = torch.tensor([[0.0], [1.0]])
        return dist.MultivariateNormal(
            torch.zeros(2), self.kernel(inputs) + 1e-3 * torch.eye(2)
        )


PARTS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "prior": ("prior", Prior),
    "guide": ("guide", Guide),
    "likelihood": ("likelihood", Likelihood),
    "encoder": ("encoder", lambda: PyroModule[nn.Linear](4, 8)),
    "decoder": (
        "decoder",
        lambda: PyroModule[nn.Sequential](
            PyroModule[nn.Linear](2, 8), PyroModule[nn.Linear](8, 4)
        ),
    ),
    "kernel": ("prior", Process),
}


def small(**parts: Any) -> pv.VAE:
    return pv.VAE(**{"data_shape": (4,), "latent_dim": 2, **parts})


def moved(vae: nn.Module, act: Callable[[], Any]) -> set[str]:
    """The parameters that an act leaves as they were."""
    before = {
        name: parameter.detach().clone() for name, parameter in vae.named_parameters()
    }
    act()
    return {
        name
        for name, parameter in vae.named_parameters()
        if torch.equal(parameter, before[name])
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_a_pyro_module_is_a_part_like_any_other(name: str) -> None:
    """Every parameter is trained, every question is answered, and the global store stays empty."""
    slot, make = PARTS[name]
    with own_seed(0):
        vae = small(**{slot: make()})
    assert not moved(vae, lambda: pv.fit(vae, X, epochs=2, progress=False))
    assert pv.evidence(vae, X[:3], num_particles=20).log_marginal.shape == (3,)
    assert pv.encode(vae, X).loc.shape == (20, 2)
    assert pv.sample(vae, 3).x.shape == (3, 4)
    assert pv.calibration(vae, num_rows=20, num_samples=9).rank.shape == (20, 2)
    assert pv.annealed(vae, X[:2], num_chains=2, temperatures=5).log_marginal.shape == (
        2,
    )
    if slot == "prior":
        assert pv.audit(
            vae, X[:1], num_chains=2, num_samples=20, warmup_steps=40
        ).z.shape == (
            2,
            20,
            1,
            2,
        )
    assert not pyro.get_param_store().keys()


@pytest.mark.parametrize("name", PARTS)
def test_it_is_saved_and_copied(name: str, tmp_path: Any) -> None:
    slot, make = PARTS[name]
    vae = small(**{slot: make()})
    pv.fit(vae, X, epochs=1, progress=False)
    expected = pv.evidence(vae, X[:3], num_particles=20).log_marginal
    pv.save(vae, tmp_path / "run")
    own = {} if name == "kernel" else {"pickled": pickle.loads(pickle.dumps(vae))}
    for again in (
        {
            "loaded": pv.load(tmp_path / "run", **{slot: make()}),
            "copied": copy.deepcopy(vae),
        }
        | own
    ).values():
        assert (
            pv.evidence(again, X[:3], num_particles=20).log_marginal == expected
        ).all()


@pytest.mark.param_store
@pytest.mark.parametrize("name", PARTS)
def test_pyros_svi_trains_two_models_of_one_part(name: str) -> None:
    """Parameters below a plain module have names of their own: of two equal ones, one is frozen."""
    slot, make = PARTS[name]
    first, second = small(**{slot: make()}), small(**{slot: make()})
    for vae in (first, second, copy.deepcopy(second)):
        svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
        assert not moved(vae, lambda svi=svi: svi.step(X))


def test_random_weights_are_refused() -> None:
    decoder = PyroModule[nn.Linear](2, 4)
    decoder.weight = PyroSample(dist.Normal(0.0, 1.0).expand([4, 2]).to_event(2))
    with pytest.raises(
        ValueError,
        match=r"^decoder: expected parameters, got random weights \(PyroSample\): 'weight'",
    ):
        small(decoder=nn.Sequential(nn.Linear(2, 2), decoder)[1])
    with pytest.raises(
        ValueError,
        match=r"^decoder: .* 'layers\.0\.weight'; .* Take nn.Parameter or PyroParam",
    ):
        small(decoder=Layers(decoder))


class Layers(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, z: Tensor) -> Tensor:
        for layer in self.layers:
            z = layer(z)
        return z


# Pyro's own conversion of the finished model


def bayesian() -> pv.VAE:
    vae = small(hidden_dims=(3,))
    to_pyro_module_(vae.model)
    for module in list(vae.model.likelihood.decoder.modules()):
        for name, value in list(module.named_parameters(recurse=False)):
            setattr(
                module,
                name,
                PyroSample(
                    dist.Normal(0.0, 1.0).expand(value.shape).to_event(value.dim())
                ),
            )
    return vae


@pytest.mark.param_store
@pytest.mark.parametrize(
    "likelihood",
    [
        "normal",
        "gamma",
        {"kind": "mixed", "columns": [{"columns": "0:4", "kind": "normal"}]},
    ],
)
def test_to_pyro_module_leaves_the_densities_as_they_are(likelihood: Any) -> None:
    vae, z = small(likelihood=likelihood), torch.randn(3, 2)
    expected = vae.likelihood(z).log_prob(X[:3].exp())
    to_pyro_module_(vae.model)
    assert isinstance(vae.likelihood, PyroModule)
    assert isinstance(vae.likelihood.family, PyroModule)
    assert torch.equal(vae.likelihood(z).log_prob(X[:3].exp()), expected)
    assert not moved(vae, lambda: pv.fit(vae, X.exp(), epochs=1, progress=False))


@pytest.mark.param_store
def test_random_weights_are_drawn_once_for_all_rows() -> None:
    vae = bayesian()
    trace = poutine.trace(vae.model).get_trace(X)
    drawn = {
        name: site
        for name, site in trace.nodes.items()
        if "decoder" in name and site["type"] == "sample"
    }
    assert len(drawn) == 4
    assert all(site["cond_indep_stack"] == () for site in drawn.values())
    assert [frame.name for frame in trace.nodes["x"]["cond_indep_stack"]] == ["data"]
    guide = AutoNormal(poutine.block(vae.model, hide=["z"]))
    assert (
        SVI(
            vae.model,
            lambda x: (guide(x), vae.guide(x)),
            pyro.optim.Adam({"lr": 0.01}),
            Trace_ELBO(),
        ).step(X)
        > 0
    )


def test_no_question_about_rows_is_answered_with_random_weights() -> None:
    with pytest.raises(
        ValueError,
        match=r"^vae: expected parameters, got random weights .*decoder.*log p\(x\) of a row",
    ):
        pv.evidence(bayesian(), X[:3], num_particles=5)


def test_a_family_without_a_density_says_so() -> None:
    from pyro_vae.likelihoods import Family

    with pytest.raises(
        NotImplementedError, match=r"^Family needs a method forward\(raw\)"
    ):
        Family((4,), (4,))(torch.zeros(2, 4))
