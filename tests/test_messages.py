"""The error of a wrong call: it names the argument, what is allowed, what came, and what to do."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.arguments import public

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))


def small(**fields: Any) -> pv.VAE:
    return pv.VAE(**{"data_shape": (4,), "latent_dim": 2, **fields})


def functions() -> dict[str, Callable[..., Any]]:
    every = {name: getattr(pv, name) for name in pv.__all__}
    return {
        name: item
        for name, item in every.items()
        if inspect.isfunction(item) and name != "IWAE"
    }


@pytest.fixture(scope="module")
def run() -> Any:
    return pv.fit(small(), X, epochs=1, progress=False)


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an option of fit": (
        lambda run: pv.fit(run.vae, X, epoch=3),
        r"^fit: unknown argument 'epoch'; allowed: .*; did you mean 'epochs'\?$",
    ),
    "labels": (
        lambda run: pv.fit(run.vae, X, X[:, 0]),
        r"^fit: expected vae, x by position, got 3; name the others: ",
    ),
    "a path": (
        lambda run: pv.fit(run.vae, "x.csv"),
        r"^x: expected rows, got the path 'x.csv'; read it: pyro_vae.data.load\('x.csv'\)$",
    ),
    "a Path": (
        lambda run: pv.encode(run.vae, Path("x.csv")),
        r"^x: expected rows, got the path 'x.csv'; read it: ",
    ),
    "rows first": (
        lambda run: pv.fit(X, run.vae),
        r"^fit: expected a VAE, got Tensor; the model comes first: fit\(vae, ...\)$",
    ),
    "a run": (
        lambda run: pv.save(run, "folder"),
        r"^save: expected a VAE, got Run; pass run.vae$",
    ),
    "a run, by name": (
        lambda run: pv.encode(vae=run, x=X),
        r"^encode: expected a VAE, got Run; pass run.vae$",
    ),
    "a list of models": (
        lambda run: pv.compare([run.vae, run.vae], X),
        r"^models: expected names and models, got a list; pass a dict: ",
    ),
    "runs": (
        lambda run: pv.compare({"a": run, "b": run}, X),
        r"^models\['a'\]: expected a VAE or its Evidence, got a Run; pass run.vae",
    ),
    "a call": (
        lambda run: run.vae(X),
        r"^vae\(...\): a VAE is called by its parts: vae.posterior\(x\), ",
    ),
    "an array": (
        lambda run: run.vae.posterior(X.numpy()),
        r"^posterior: expected a tensor of rows, got ndarray; pass torch.as_tensor\(x\) "
        r".*encode\(vae, x\)$",
    ),
    "an array z": (
        lambda run: run.vae.likelihood(np.zeros((3, 2))),
        r"^likelihood: expected a tensor z, got ndarray;",
    ),
    "nothing": (
        lambda run: pv.sample(run.vae),
        r"^sample: missing a required argument: 'num_rows'$",
    ),
    "a name": (
        lambda run: pv.sample(run.vae, 3, sed=1),
        r"^sample: unknown argument 'sed'; .*; did you mean 'seed'\?$",
    ),
    "a field": (
        lambda run: small(latent_dims=3),
        r"^VAE: unknown argument 'latent_dims'; .* did you mean 'latent_dim'",
    ),
    "a shape": (
        lambda run: pv.VAE((4,)),
        r"^VAE: expected nothing by position, got 1; name the others: data_shape=, ",
    ),
    "another's name": (
        lambda run: small(likelihood="nb"),
        r"^likelihood: unknown likelihood 'nb'; allowed: .*; did you mean 'negative_binomial'\?$",
    ),
    "a Spec": (
        lambda run: pv.Spec(data_shape=(4,), guide="iaf"),
        r"^guide: unknown guide 'iaf'; .* mean 'flow'\?$",
    ),
    "JSON": (
        lambda run: pv.Spec.model_validate_json('{"data_shape": [4], "latent_dim": 0}'),
        r"^latent_dim: Input should be greater than 0, got 0$",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_explained(case: str, run: Any) -> None:
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message) as error:
        call(run)
    assert "pydantic" not in str(error.value)


NEEDS = {
    ("likelihood", "beta_binomial"): "total_count",
    ("likelihood", "binomial"): "total_count",
    ("likelihood", "categorical"): "num_classes",
    ("likelihood", "distribution"): "name",
    ("likelihood", "mixed"): "columns",
    ("likelihood", "ordinal"): "num_classes",
    ("prior", "hierarchical"): "top_dim",
    ("guide", "hierarchical"): "top_dim",
}


@pytest.mark.parametrize(("slot", "kind"), NEEDS)
def test_a_missing_option_is_told_with_an_example_that_works(
    slot: str, kind: str
) -> None:
    with pytest.raises(
        ValueError,
        match=f"^{slot}.*: '{kind}' needs {NEEDS[slot, kind]}, for example {slot}=",
    ) as error:
        small(**{slot: kind})
    example = str(error.value).partition("for example ")[2]
    vae = eval(f"small({example})", {"small": small})
    assert getattr(vae.spec, slot).kind == kind


def test_every_kind_that_needs_an_option_is_among_them() -> None:
    rooms = {"prior": pv.PRIORS, "likelihood": pv.LIKELIHOODS, "guide": pv.GUIDES}
    needing = {
        (slot, kind)
        for slot, registry in rooms.items()
        for kind in registry
        if any(
            field.is_required()
            for field in registry.options(kind).model_fields.values()
        )
    }
    assert needing == set(NEEDS)


@pytest.mark.parametrize("name", functions())
def test_every_public_function_explains_its_calls(name: str) -> None:
    """It is decorated: its own name is in the error of an unknown argument, or of too many."""
    function = functions()[name]
    assert function.__module__.startswith("pyro_vae.")
    with pytest.raises(ValueError, match=f"^{name}: expected .* by position, got 20"):
        function(*[None] * 20)


def test_what_fails_inside_a_function_stays_what_it_is() -> None:
    @public
    def broken(n: int) -> int:
        raise TypeError("inside")

    with pytest.raises(TypeError, match=r"^inside$"):
        broken(3)


# Integers


def test_integers_of_numpy_in_a_description() -> None:
    plain = small(
        prior={"kind": "mixture", "components": 3}, hidden_dims=(5, 6), seed=7
    )
    numpy = small(
        data_shape=(np.int64(4),),
        latent_dim=np.int32(2),
        prior={"kind": "mixture", "components": np.uint8(3)},
        hidden_dims=np.array([5, 6]),
        seed=np.int64(7),
    )
    assert numpy.spec == plain.spec
    assert type(numpy.spec.data_shape[0]) is type(numpy.spec.latent_dim) is int
    assert torch.equal(numpy.likelihood(X[:, :2]).mean, plain.likelihood(X[:, :2]).mean)


INTEGERS: dict[str, Callable[[pv.VAE, Any], Any]] = {
    "fit: epochs": lambda vae, n: pv.fit(vae, X, epochs=n, progress=False).history[0][
        "loss"
    ],
    "sample: num_rows": lambda vae, n: pv.sample(vae, n).x,
    "sample: seed": lambda vae, n: pv.sample(vae, 3, seed=n).x,
    "annealed: num_chains": lambda vae, n: (
        pv.annealed(vae, X[:2], num_chains=n, temperatures=5).log_marginal
    ),
    "calibration: num_samples": lambda vae, n: (
        pv.calibration(vae, num_rows=5, num_samples=n).pit
    ),
    "latent_use: num_particles": lambda vae, n: (
        pv.latent_use(vae, X, num_particles=n).rate
    ),
    "to_arviz: num_samples": lambda vae, n: (
        pv.to_arviz(vae, X, num_samples=n)["prior"]["z"].values
    ),
    "ELBO: num_particles": lambda vae, n: pv.ELBO(num_particles=n)(
        vae.model, vae.guide, X
    ).kl["z"],
    "bidirectional: num_rows": lambda vae, n: (
        pv.bidirectional(vae, num_rows=n, num_chains=2, temperatures=5).lower
    ),
}


@pytest.mark.parametrize("case", INTEGERS)
def test_an_integer_is_an_integer_and_a_bool_is_none(case: str) -> None:
    ask, name = INTEGERS[case], case.partition(": ")[2]
    assert np.array_equal(ask(small(), np.int64(3)), ask(small(), 3))
    with pytest.raises(
        ValueError, match=rf"^{name}: expected an? (integer|number).*, got True$"
    ):
        ask(small(), True)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"latent_dim": True}, "latent_dim"),
        ({"seed": True}, "seed"),
        ({"denoise": True}, "denoise"),
        ({"hidden_dims": (8, True)}, "hidden_dims.1"),
        (
            {"prior": {"kind": "mixture", "components": True}},
            "prior.mixture.components",
        ),
        ({"likelihood": {"kind": "normal", "scale": True}}, "likelihood.normal.scale"),
        (
            {
                "likelihood": {
                    "kind": "mixed",
                    "columns": [
                        {"columns": "0:4", "kind": "binomial", "total_count": True}
                    ],
                }
            },
            "likelihood.mixed.columns.0.likelihood.binomial.total_count",
        ),
    ],
)
def test_a_bool_is_no_number_of_a_description(
    fields: dict[str, Any], path: str
) -> None:
    for make in (small, lambda **fields: pv.Spec(data_shape=(4,), **fields)):
        with pytest.raises(
            ValueError, match=rf"^{path}: expected an? (integer|number), got True$"
        ):
            make(**fields)


@pytest.mark.parametrize(
    ("option", "value", "new"),
    [
        ("annealing", 5, "kl_warmup_epochs"),
        ("average", 0.9, "ema_decay"),
        ("cycles", 2, "kl_cycles"),
        ("float32_products", "high", "matmul_precision"),
        ("products", "bfloat16", r"precision \('full' or 'bf16-mixed'\)"),
    ],
)
def test_an_option_that_was_renamed_names_the_new_one(option, value, new):
    with pytest.raises(
        ValueError, match=rf"^{option}: this option is now called {new}$"
    ):
        pv.fit(pv.VAE(data_shape=(4,), latent_dim=2), X, **{option: value})


@pytest.mark.parametrize(
    ("ask", "old", "new"),
    [
        (lambda vae, **old: pv.to_arviz(vae, X, **old), {"draws": 5}, "num_samples"),
        (lambda vae, **old: pv.calibration(vae, **old), {"draws": 5}, "num_samples"),
        (lambda vae, **old: pv.audit(vae, X, **old), {"draws": 5}, "num_samples"),
        (lambda vae, **old: pv.audit(vae, X, **old), {"chains": 2}, "num_chains"),
        (lambda vae, **old: pv.audit(vae, X, **old), {"warmup": 5}, "warmup_steps"),
        (lambda vae, **old: pv.sample(vae, **old), {"n": 5}, "num_rows"),
    ],
)
def test_an_argument_that_was_renamed_names_the_new_one(ask, old, new):
    message = rf"^{next(iter(old))}: this option is now called {new}$"
    with pytest.raises(ValueError, match=message):
        ask(small(), **old)


def test_an_old_name_of_another_function_is_an_unknown_argument():
    with pytest.raises(
        ValueError, match=r"^encode: unknown argument 'draws'; allowed: "
    ):
        pv.encode(small(), X, draws=5)
