"""What can't take a context says so in one sentence, before any work."""

import inspect

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pyro_vae as pv
from pyro_vae import VAE, analysis
from pyro_vae.arguments import KNOW_NO_ROWS
from tests.guides.test_semi_amortized import Echo

X, C = torch.zeros(3, 4), torch.zeros(3, 2)


def vae(**fields):
    whole = {"data_shape": (4,), "latent_dim": 1, "hidden_dims": (2,)}
    return VAE(**{**whole, "context": {"dim": 2}, **fields})


def of_models(module):
    """The public functions whose first argument is a model."""
    named = {name: getattr(module, name) for name in module.__all__}
    for name, function in named.items():
        if inspect.isfunction(function):
            first = next(iter(inspect.signature(function).parameters), "")
            if first == "vae":
                yield name, function


FUNCTIONS = dict([*of_models(pv), *of_models(analysis)])


def test_the_walk_finds_the_functions():
    assert {"fit", "evidence", "latent_use", "audit", "save"} <= set(FUNCTIONS)
    assert len(FUNCTIONS) > 15


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - set(KNOW_NO_ROWS)))
def test_every_function_takes_a_context_or_refuses_it(name):
    function = FUNCTIONS[name]
    if name == "measure_of":
        assert "given the context of each row" in str(function(vae()))
        return
    parameters = inspect.signature(function).parameters
    takes = "context" in parameters or "options" in parameters
    message = f"^{name}: expected a model without a context"
    model = vae()
    if takes:
        message = "^context: expected what is given with each row"
    if name == "classify":
        message = "^classify: expected a model with a label"
    if name in ("traverse", "manifold"):
        model = vae(latent_dim=2)
        message = "^context: expected one context, in which z is decoded, got none"
    if name in ("impute", "predict"):
        model = vae(missing="at_random")
    needed = [one for one in parameters.values() if one.default is one.empty][1:]
    arguments = [X for one in needed if one.kind is one.POSITIONAL_OR_KEYWORD]
    named = {one.name: [0] for one in needed if one.kind is one.KEYWORD_ONLY}
    if name == "sample":
        arguments = [3]
    before = [weight.clone() for weight in model.parameters()]
    with pytest.raises(ValueError, match=message):
        function(model, *arguments, **named)
    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize(
    "name", ["fit", "evidence", "encode", "reconstruct", "to_arviz"]
)
def test_a_model_without_a_context_is_given_none(name):
    plain = VAE(data_shape=(4,), latent_dim=1, hidden_dims=(2,))
    with pytest.raises(ValueError, match=r"^context: expected no context, since"):
        FUNCTIONS[name](plain, X, context=C)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (C[:2], "expected one for each of 3 rows, got 2"),
        (C[:, :1], r"expected shape \(n, 2\), 2 numbers for each row, got \(3, 1\)"),
        (torch.full((3, 2), torch.nan), "column 0: expected a value in each row"),
        (np.full((3, 2), np.inf), "column 0: expected a value .* got inf in row 0"),
        (np.array([["a", "b"]] * 3), "expected real numbers"),
        ({"age": 3.0}, r"expected an array \(n, 2\), since the model knows no names"),
    ],
    ids=["rows", "columns", "missing", "infinite", "text", "names"],
)
def test_contexts_that_do_not_fit(context, message):
    with pytest.raises(ValueError, match=f"^context: {message}"):
        pv.fit(vae(), X, context=context)


def test_validation_rows_have_contexts_too():
    how = {"context": C, "epochs": 1, "progress": False}
    with pytest.raises(ValueError, match=r"^context of validation: .* pass a pair"):
        pv.fit(vae(), X, validation=X, **how)
    with pytest.raises(ValueError, match=r"^context of validation: .* 3 rows, got 2"):
        pv.fit(vae(), X, validation=(X, C[:2]), **how)
    weights = np.array([1.0, 2.0, 3.0])
    run = pv.fit(vae(), X, validation=(X, C), weights=weights, **how)
    assert np.isfinite(run.history[0]["val_loss"])


def test_rows_without_positions():
    loader = DataLoader(TensorDataset(X), batch_size=2)
    with pytest.raises(ValueError, match=r"^x: expected rows in an array or a table"):
        pv.fit(vae(), loader, context=C)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prior": "mixture"}, "expected prior 'standard_normal'"),
        (
            {"guide": "semi_amortized", "context": {"dim": 2, "encoder": False}},
            "expected encoder = true with guide 'semi_amortized'",
        ),
        (
            {"context": {"dim": 2, "prior": False}, "prior": Echo()},
            "the method pyro_vae_bind_programs, got Echo",
        ),
        ({"context": {}}, "expected how many numbers a context has"),
        ({"context": {"columns": ["a"]}}, "expected a table with the columns 'a'"),
        ({"context": {"dim": 2, "prior": False, "decoder": False}}, "doesn't depend"),
        ({"context": {"dim": 2, "layers": "all"}, "encoder": "residual"}, "'mlp'"),
        ({"context": {"dims": 2}}, "unknown field"),
        ({"context": "batch"}, "expected a table such as .* got 'batch'"),
        ({"context": {"columns": []}}, "expected names of columns, got none"),
    ],
)
def test_descriptions_that_can_not_be(fields, message):
    with pytest.raises(ValueError, match=rf"^context.*{message}"):
        vae(**fields)


def test_options_of_fit_that_would_draw_rows():
    with pytest.raises(ValueError, match=r"^sleep_share: expected 0"):
        pv.fit(vae(), X, context=C, sleep_share=0.1)
    with pytest.raises(ValueError, match=r"^binarize: expected 'none'"):
        pv.fit(vae(likelihood="bernoulli"), X, context=C, binarize="dynamic")


def test_parts_and_programs_ask_for_their_context():
    model = vae()
    plain = VAE(data_shape=(4,), latent_dim=1, hidden_dims=(2,))
    for call in (lambda: plain.model(X, C), lambda: plain.model(None, 3)):
        with pytest.raises(ValueError, match=r"^model: expected no context, since"):
            call()
    with pytest.raises(ValueError, match=r"^model: expected the context of the rows"):
        model.model(X)
    with pytest.raises(ValueError, match=r"^guide: expected the context of the rows"):
        model.guide(X)
    with pytest.raises(ValueError, match=r"^model: .* as a tensor of shape \(n, 2\)"):
        model.model(n=3)
    with pytest.raises(ValueError, match=r"^model: .* one context for each of 3 rows"):
        model.model(X, C[:2])
    with pytest.raises(
        ValueError, match=r"^posterior: expected rows and their context"
    ):
        model.posterior(X)
    with pytest.raises(ValueError, match=r"^prior: expected a context"):
        model.prior()


def test_other_contexts_do_not_compare():
    how = {"num_particles": 30, "progress": False}
    one = pv.evidence(vae(), X, context=C, **how)
    other = pv.evidence(vae(), X, context=C + 1, **how)
    with pytest.raises(ValueError, match="expected evidence about the same rows"):
        pv.compare({"one": one, "other": other})
    plain = VAE(data_shape=(4,), latent_dim=1, hidden_dims=(2,))
    with pytest.raises(ValueError, match="given the context of each row"):
        pv.compare({"with": vae(), "without": plain}, X, context=C, **how)
    assert pv.compare({"one": vae(), "two": vae(seed=1)}, X, context=C, **how).names


def test_members_of_an_ensemble_have_the_same_context():
    plain = VAE(data_shape=(4,), latent_dim=1, hidden_dims=(2,), missing="at_random")
    members = [vae(missing="at_random"), plain]
    for some in (members, members[::-1]):
        with pytest.raises(ValueError, match=r"^predict: .* got context .* in model 1"):
            pv.predict(some, X, columns=[0], context=C)


def test_a_proposal_of_ones_own():
    with pytest.raises(ValueError, match=r"^proposal: expected a name"):
        pv.evidence(vae(), X, context=C, proposal=lambda model, rows: model.prior())
