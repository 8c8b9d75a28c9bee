"""Evidence and classification of rows with known and unknown labels, and what is refused."""

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.classification.results import Classification
from tests.labels.models import (
    CLASSES,
    NAN,
    a_vae,
    exact_log_joint,
    exact_log_marginal,
    labels,
    linear_vae,
    rows,
)


def test_evidence_is_the_closed_form() -> None:
    vae, x, y = linear_vae(), rows(), labels()
    found = pv.evidence(vae, x, context=y, num_particles=2000, progress=False)
    exact = exact_log_marginal(exact_log_joint(vae, x), y[:, 0])
    assert (np.abs(found.log_marginal - exact) < 4 * found.se + 1e-5).all()
    assert found.trusted.all()
    assert (found.se < 0.02).all()
    assert (found.elbo < exact).all()


@pytest.mark.parametrize(
    ("label", "symbol"),
    [(1.0, "log p(x, y)"), (NAN, "log p(x)"), (None, "log p(x, known y)")],
)
def test_evidence_says_what_it_is_of(label: float | None, symbol: str) -> None:
    y = labels() if label is None else torch.full((8, 1), label)
    found = pv.evidence(a_vae(), rows(), context=y, num_particles=50, progress=False)
    assert found.symbol == symbol


def test_classes_by_evidence_are_those_of_bayes_rule() -> None:
    vae, x = linear_vae(), rows()
    found = pv.classify(vae, x, context=labels(), method="evidence", progress=False)
    joint = exact_log_joint(vae, x)
    exact = np.exp(joint - exact_log_marginal(joint, torch.full((8,), NAN))[:, None])
    np.testing.assert_allclose(found.probabilities, exact, atol=0.02)
    assert found.truth.tolist() == [0, 1, 2, 0, -1, -1, -1, -1]


def test_the_classifier_never_reads_the_label() -> None:
    vae = a_vae()
    with_labels = pv.classify(vae, rows(), context=labels())
    without = pv.classify(vae, rows())
    np.testing.assert_array_equal(with_labels.probabilities, without.probabilities)


def test_expected_calibration_error_of_known_counts() -> None:
    # 10 rows at 0.8 of which 6 are right, 10 at 0.6 of which 9 are: |.6 - .8| / 2 + |.9 - .6| / 2
    probabilities = np.repeat([[0.8, 0.2], [0.6, 0.4]], 10, 0)
    truth = np.array([0] * 6 + [1] * 4 + [0] * 9 + [1])
    found = Classification(probabilities, ("a", "b"), truth)
    assert found.ece == pytest.approx(0.25)
    assert found.accuracy == pytest.approx(0.75)
    assert found.log_loss == pytest.approx(
        -(6 * np.log(0.8) + 4 * np.log(0.2) + 9 * np.log(0.6) + np.log(0.4)) / 20
    )


def test_temperature_undoes_what_was_divided() -> None:
    vae = a_vae()
    x = 5 * torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        log_q = vae.guide.log_q_y(x, torch.full((4000, 1), NAN))
        cooler = torch.distributions.Categorical(logits=log_q / 3.0)
        torch.manual_seed(0)
        y = cooler.sample().float().unsqueeze(-1)
    found = pv.classify(vae, rows(), calibration=(x, y))
    assert found.temperature == pytest.approx(3.0, rel=0.1)


def test_answers_take_the_most_probable_label() -> None:
    vae, x = a_vae(), rows()
    likely = pv.classify(vae, x).probabilities.argmax(1)
    filled = torch.as_tensor(likely).float().unsqueeze(-1)
    np.testing.assert_array_equal(
        pv.encode(vae, x).loc, pv.encode(vae, x, context=filled).loc
    )
    np.testing.assert_array_equal(
        pv.reconstruct(vae, x), pv.reconstruct(vae, x, context=filled)
    )


def test_samples_draw_labels_from_their_prior() -> None:
    vae = linear_vae()
    vae.model.label.logits.data = torch.tensor([-50.0, 0.0, -50.0])
    vae.prior.head.weight.data.zero_()
    drawn = pv.sample(vae, 20_000)
    given = pv.sample(vae, 20_000, context=torch.tensor([[1.0]]))
    np.testing.assert_allclose(drawn.x.mean(0), given.x.mean(0), atol=0.04)


def test_labels_outside_their_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=f"classes from 0 to {CLASSES - 1}.*got 3"):
        pv.evidence(a_vae(), rows(), context=torch.full((8, 1), 3.0))


def test_a_model_without_a_label_is_refused() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2)
    with pytest.raises(ValueError, match=r"a model with a label.*context="):
        pv.classify(vae, rows())


def test_calibration_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="calibration: expected rows whose labels are"):
        pv.classify(a_vae(), rows(), calibration=(rows(), torch.full((8, 1), NAN)))
