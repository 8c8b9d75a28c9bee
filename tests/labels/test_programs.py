"""The label in model and guide: Pyro's own sum over it, and the sites."""

from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from torch import Tensor
from torch.nn import functional

from pyro_vae import ELBO, fit
from pyro_vae.networks.context import repeated_rows
from pyro_vae.objectives.labelled import Labelled
from tests.labels.models import CLASSES, NAN, a_vae, labels, rows

DRAWS = 100


@pytest.mark.parametrize(
    "guide",
    ["mean_field", pytest.param("semi_amortized", marks=pytest.mark.slow)],
)
def test_the_objective_is_pyros_sum_over_labels(guide: str) -> None:
    vae = a_vae({"classes": CLASSES, "prior": "learned"}, guide=guide)
    x, y = rows(), labels()
    ours = Labelled(inner=ELBO(kl="monte_carlo"), weight=0.0, consistency=0.0)
    theirs = TraceEnum_ELBO(max_plate_nesting=1)
    torch.manual_seed(0)
    whole = torch.cat([x, y], 1)
    with torch.no_grad(), pyro.settings.context(module_local_params=True):
        a = torch.stack(
            [ours(vae.model, vae.guide, whole).loss.sum() for _ in range(DRAWS)]
        )
        b = torch.tensor(
            [theirs.loss(vae.model, vae.guide, x, y) for _ in range(DRAWS)]
        )
    se = ((a.var() + b.var()) / DRAWS).sqrt()
    assert abs(a.mean() - b.mean()) < 3 * se
    assert se < 0.02 * abs(a.mean())


@pytest.mark.parametrize("layers", ["first", "all"])
def test_a_row_is_multiplied_once_for_all_of_its_labels(
    layers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = a_vae(layers=layers, hidden_dims=(8, 8))
    encoder = vae.posterior.encoder
    x = rows().repeat_interleave(CLASSES, 0)
    every = torch.arange(3.0).repeat(len(rows())).unsqueeze(-1)
    products: list[int] = []
    linear = functional.linear

    def counted(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        products.append(inputs.numel() * len(weight))
        return linear(inputs, weight, bias)

    monkeypatch.setattr(functional, "linear", counted)
    expected = encoder(x, every)
    plain = sum(products)
    products.clear()
    with repeated_rows(CLASSES):
        found = encoder(x, every)
    torch.testing.assert_close(found, expected)
    of_first = rows().numel() * 8  # units
    assert plain - sum(products) == (CLASSES - 1) * of_first


@pytest.mark.parametrize("fields", [{"hidden_dims": ()}, {"encoder": "gated_mlp"}])
def test_encoders_without_a_first_linear_layer_take_repeated_rows(
    fields: dict[str, Any],
) -> None:
    encoder = a_vae(**fields).posterior.encoder
    x = rows().repeat_interleave(CLASSES, 0)
    every = torch.arange(3.0).repeat(len(rows())).unsqueeze(-1)
    with repeated_rows(CLASSES):
        found = encoder(x, every)
    torch.testing.assert_close(found, encoder(x, every))


def test_known_labels_are_observed() -> None:
    vae = a_vae()
    known = torch.zeros(8, 1)
    with pyro.settings.context(module_local_params=True):
        model = poutine.trace(vae.model).get_trace(rows(), known)
        complete = poutine.trace(vae.guide).get_trace(rows(), known)
        guide = poutine.trace(vae.guide).get_trace(rows(), labels())
    assert model.nodes["y"]["is_observed"]
    assert "y_unobserved" not in complete.nodes
    assert guide.nodes["y_unobserved"]["infer"]["enumerate"] == "parallel"


def test_the_terms_of_a_known_label_are_those_of_its_context() -> None:
    vae = a_vae().double()
    x, y = rows().double(), torch.ones(8, 1).double()
    ours = Labelled(inner=ELBO(), weight=0.0, consistency=0.0)
    torch.manual_seed(0)
    terms = ours(vae.model, vae.guide, torch.cat([x, y], 1))
    every = torch.arange(3.0).double().repeat(8).unsqueeze(-1)
    torch.manual_seed(0)
    given = vae.given(every)
    q = given.posterior(x.repeat_interleave(CLASSES, 0))
    z = q.rsample()
    log_likelihood = given.likelihood(z).log_prob(x.repeat_interleave(CLASSES, 0))
    chosen = log_likelihood.view(8, CLASSES)[:, 1]
    expected = -chosen + torch.tensor(float(CLASSES)).double().log()
    torch.testing.assert_close(terms.distortion, expected, atol=1e-6, rtol=1e-6)


def test_the_classification_term_is_its_weight_times_the_mean_of_known_labels() -> None:
    vae = a_vae()
    whole = torch.cat([rows(), labels()], 1)
    losses = []
    for weight in (0.0, 7.0):
        torch.manual_seed(0)
        ours = Labelled(inner=ELBO(), weight=weight, consistency=0.0)
        losses.append(ours(vae.model, vae.guide, whole).loss.mean())
    log_q = vae.guide.log_q_y(rows(), labels())[:4]
    cross = -log_q[torch.arange(4), torch.tensor([0, 1, 2, 0])].mean()
    torch.testing.assert_close(losses[1] - losses[0], 7.0 * cross)


def test_consistency_is_the_divergence_at_its_radius() -> None:
    vae = a_vae()
    vae.guide.classifier.standardize.std.copy_(torch.tensor([1.0, 2.0, 0.5, 3.0]))
    whole = torch.cat([rows(), labels()], 1)
    seen = []
    classifier = vae.guide.classifier
    classifier.standardize.register_forward_hook(lambda *call: seen.append(call[2]))
    terms = []
    for radius in (0.0, 0.4):
        torch.manual_seed(0)
        ours = Labelled(inner=ELBO(), weight=7.0, consistency=radius)
        terms.append(ours(vae.model, vae.guide, whole).loss)
    assert (terms[1] >= terms[0] - 1e-5).all()
    assert terms[1].mean() > terms[0].mean() + 1e-3
    moves = (seen[-1] - seen[0]).norm(dim=1)  # in standard deviations
    torch.testing.assert_close(moves, torch.full((8,), 0.4 * 4**0.5))
    vae.eval()
    torch.manual_seed(0)
    evaluated = Labelled(inner=ELBO(), weight=7.0, consistency=0.4)
    loss = evaluated(vae.model, vae.guide, whole).loss
    torch.testing.assert_close(loss, terms[0])


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["none", "at_random"])
def test_compiled_steps_are_eager_ones(missing: str) -> None:
    x = rows().repeat(4, 1)
    if missing == "at_random":
        x[::3, 1] = NAN
    y = labels().repeat(4, 1)
    losses = []
    for compile in ("off", "step"):
        vae = a_vae(missing=missing)
        run = fit(
            vae,
            x,
            context=y,
            epochs=2,
            validation=None,
            compile=compile,
            progress=False,
        )
        losses.append(run.history[-1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
