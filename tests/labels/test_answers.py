"""Evidence and classification of rows with known and unknown labels, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.classification.results import Classification
from pyro_vae.analysis.imputation import imputing
from pyro_vae.analysis.marginal_likelihood.labels import Candidates
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


def test_evidence_of_columns_by_others_is_given_the_label() -> None:
    vae = a_vae(missing="at_random")
    how = {"num_particles": 50, "progress": False}
    found = pv.evidence(vae, rows(), context=labels(), columns=[0], given=[1], **how)
    assert found.measure.given == "columns 1 and the label where known"
    assert found.symbol == "log p(x)"
    found = pv.evidence(vae, rows(), context=labels(), columns=[0], **how)
    assert found.symbol == "log p(x, known y)"


def test_evidence_of_few_draws_has_no_k_hat() -> None:
    found = pv.evidence(
        a_vae(), rows(), context=labels(), num_particles=10, progress=False
    )
    assert np.isnan(found.pareto_k).all()
    assert (found.num_particles == 10).all()


def test_a_row_without_cells_has_no_log_p_per_cell() -> None:
    x = rows()
    x[0] = NAN
    vae = a_vae(missing="at_random")
    found = pv.evidence(vae, x, context=labels(), num_particles=50, progress=False)
    assert found.log_marginal[0] == pytest.approx(-np.log(CLASSES))
    assert np.isnan(found.per_cell).tolist() == [True] + [False] * 7
    assert "1 rows have none, and their log p(x) is 0" in found.summary()


@pytest.mark.parametrize("is_known", [True, False])
def test_bits_count_the_numbers_of_x_and_known_labels_are_in_them(
    is_known: bool,
) -> None:
    vae = a_vae(likelihood="bernoulli")
    x = (rows() > 0).float()
    y = torch.full((8, 1), 1.0 if is_known else NAN)
    found = pv.evidence(vae, x, context=y, num_particles=50, progress=False)
    assert found.bits_per_dim == pytest.approx(
        -found.log_marginal.sum() / (x.numel() * np.log(2))
    )
    assert ("with the bits of known labels" in found.summary()) is is_known


def test_a_label_without_a_k_hat_is_not_trusted() -> None:
    vae = linear_vae()
    each = Candidates(vae, rows(), labels())
    of_each = pv.evidence(vae, each.rows(), num_particles=50, progress=False)
    joint = of_each.log_marginal + each.log_labels()[0]
    _, posterior, best = each.summed(joint)
    pareto_k = np.where(posterior < 0.001, 9.0, 0.3)
    found = each.combined(replace(of_each, pareto_k=pareto_k))
    assert found.pareto_k.tolist() == [0.3] * 8
    pareto_k[best[4]] = np.nan
    found = each.combined(replace(of_each, pareto_k=pareto_k))
    assert found.trusted.tolist() == [True] * 4 + [False] + [True] * 3


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


def test_the_log_loss_of_a_label_that_is_all_but_excluded() -> None:
    vae = a_vae()
    with torch.no_grad():
        vae.guide.classifier.head.weight.zero_()
        vae.guide.classifier.head.bias.copy_(torch.tensor([0.0, 200.0, 0.0]))
    found = pv.classify(vae, rows(), context=labels())
    assert found.log_loss == pytest.approx(150.0)
    never = Classification(np.array([[1.0, 0.0]] * 2), ("a", "b"), np.array([0, 1]))
    assert "log loss         inf" in str(never)


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


def test_another_method_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^method: expected 'classifier' or 'evi"):
        pv.classify(a_vae(), rows(), method="bayes")


def test_calibration_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="calibration: expected rows whose labels are"):
        pv.classify(a_vae(), rows(), calibration=(rows(), torch.full((8, 1), NAN)))


def without_labels(columns: list[int]) -> tuple[pv.VAE, torch.Tensor, torch.Tensor]:
    """Rows with other most probable labels where these columns are hidden, and those labels."""
    vae, x = a_vae(missing="at_random"), rows()
    hidden = x.clone()
    hidden[:, columns] = NAN
    unknown = torch.full((8, 1), NAN)
    seen = pv.classify(vae, x, context=unknown).label
    likely = pv.classify(vae, hidden, context=unknown).label
    which = np.argsort(seen == likely, kind="stable")[:3]
    assert seen[which[0]] != likely[which[0]]
    return vae, x[which], torch.tensor(likely[which].astype(np.float32))[:, None]


def test_labels_are_found_without_the_columns_that_are_predicted() -> None:
    vae, x, likely = without_labels([0, 1])
    how = {"columns": [0, 1], "num_particles": 50, "progress": False}
    found = pv.predict(vae, x, context=torch.full((3, 1), NAN), **how)
    np.testing.assert_allclose(found, pv.predict(vae, x, context=likely, **how))


def test_labels_are_found_without_the_cells_that_are_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vae, x, likely = without_labels([0, 1])
    hide = np.zeros((3, 4), bool)
    hide[0, :2] = True
    monkeypatch.setattr(imputing, "hidden_cells", lambda *arguments: hide)
    how = {"num_imputations": 0, "num_particles": 50, "progress": False}
    unknown = torch.full((3, 1), NAN)
    found = pv.impute(vae, x, context=unknown, calibrate=True, **how).calibration
    known = pv.impute(vae, x, context=likely, calibrate=True, **how).calibration
    assert (found.error > 0).all()
    np.testing.assert_allclose(found.error, known.error)
