"""Parts of a page of a model with a context, against a linear-Gaussian truth."""

import numpy as np
import pytest
from scipy import stats

import pyro_vae as pv
from pyro_vae.page import baselines, context_part, density, latent_part, samples
from pyro_vae.page.answers import Answers
from pyro_vae.page.odd_rows import odd_rows
from pyro_vae.page.page import parts_of
from pyro_vae.page.subject import Subject
from tests.contexts.linear import Linear, W
from tests.page.reading import Page, subject

TRUTH = Linear()
VAE = TRUTH.vae()
X, C = TRUTH.drawn(20)


def about(x: np.ndarray = X, c: np.ndarray = C, **others: object) -> Subject:
    return subject(VAE, np.hstack([x, c]), **others)


@pytest.fixture(scope="module")
def answers() -> Answers:
    return Answers(about())


def test_the_draws_are_in_the_contexts_of_the_rows(answers: Answers) -> None:
    times = len(answers.draws) // 20
    assert times * 20 == len(answers.draws) == 2000
    means = answers.draws.reshape(times, 20, 4).mean(0)
    deviation = (means - TRUTH.mean(C)) / np.sqrt(np.diag(TRUTH.covariance) / times)
    assert np.square(deviation).mean() == pytest.approx(1.0, abs=0.3)


def test_a_normal_of_rows_given_contexts_is_a_linear_regression() -> None:
    x, c = TRUTH.drawn(20_000, seed=1)
    found = baselines._conditional(4)(np.hstack([x, c]), np.hstack([X, C]))
    known, own = (np.hstack([one, np.ones((len(one), 1))]) for one in (c, C))
    slope, *_ = np.linalg.lstsq(known, x)
    residual = stats.multivariate_normal(cov=np.cov((x - known @ slope).T, bias=True))
    np.testing.assert_allclose(found, residual.logpdf(X - own @ slope), atol=0.02)
    assert found.mean() == pytest.approx(TRUTH.log_marginal(X, C).mean(), abs=0.05)


def test_baselines_are_of_the_rows_alone_but_for_the_one_that_says_so() -> None:
    x, c = TRUTH.drawn(3000, seed=1)
    vae = pv.VAE(data_shape=(4,), latent_dim=1, hidden_dims=(2,), context={"dim": 3})
    pv.fit(vae, x, context=c, epochs=1, progress=False)
    one = subject(vae, np.hstack([X, C]), np.hstack([x, c]))
    independent, normal, given, mixture = baselines.baselines(one)
    together = stats.multivariate_normal(x.mean(0), np.cov(x.T))
    np.testing.assert_allclose(normal.log_p, together.logpdf(X), atol=0.05)
    one_by_one = stats.norm(x.mean(0), x.std(0)).logpdf(X).sum(1)
    np.testing.assert_allclose(independent.log_p, one_by_one, atol=0.05)
    assert given.name == "one normal given the context"
    assert given.log_p.mean() > normal.log_p.mean() + 0.5
    assert mixture.log_p.mean() == pytest.approx(normal.log_p.mean(), abs=0.2)


def test_levels_are_numbers_of_which_the_last_is_none() -> None:
    vae = pv.VAE(data_shape=(4,), context={"dim": 1, "label": 3}, hidden_dims=(2,))
    given = vae.spec.context
    assert given is not None
    contexts = np.array([[0.5, 2.0], [1.5, np.nan]])
    np.testing.assert_array_equal(baselines.one_hot(given, contexts), [[0.5], [1.5]])
    prior = baselines.log_p_label(vae, contexts)
    np.testing.assert_allclose(prior, [-np.log(3.0), 0.0], rtol=1e-6)


def test_all_parts_say_what_they_are_given(answers: Answers) -> None:
    one = answers.subject
    assert Page(density.log_density(one, answers)).whole.count("log p(x | c)") > 3
    table = Page(samples.samples(one, answers)).whole
    assert "in the same contexts, c[0], c[1], c[2]" in table
    page = Page(latent_part.latent_space(one, answers))
    row = answers.typical
    shown = ", ".join(f"c[{i}] = {C[row, i]:.4g}" for i in range(3))
    assert f"context of a typical row, {shown}" in page.whole
    assert "E[u | x, c] of each row" in page.whole
    odd = Page(odd_rows(one, answers)).whole
    _, found = answers.evaluation
    assert found is not None
    worst = found.log_marginal.argmin()
    assert f"c[0] = {C[worst, 0]:.4g}, c[1] = {C[worst, 1]:.4g}" in odd


def test_a_typical_row_has_common_levels_and_usual_numbers() -> None:
    c = np.array([[0.0, 0.0, 9.0], [0.1, 5.0, 0.0], [0.0, 0.1, 0.1], [9.0, 0.0, 0.0]])
    assert Answers(about(X[:4], c)).typical == 2


@pytest.mark.slow
def test_z_is_found_to_tell_of_the_context_where_it_does() -> None:
    x, c = TRUTH.drawn(300)
    one = about(x, c)
    page = Page(context_part.z_and_context(one, Answers(one)))
    assert "Nothing of the context was found in z" in page.whole
    moved = about(x + 2.0 * c[:, :1] * W[:, 0], c)
    page = Page(context_part.z_and_context(moved, Answers(moved)))
    assert "z tells of c[0]: rows that are decoded in another context" in page.whole
    assert len(page.pictures) == 1
    found = pv.independence(VAE, moved.x, context=c).columns_told[0]
    assert f"{found.information:.3f} ± {found.se:.3f} nats" in page.whole


def test_few_rows_say_nothing_of_z_and_the_context(answers: Answers) -> None:
    text = Page(context_part.z_and_context(answers.subject, answers)).whole
    assert "found from 50 rows on, and the page is of 20" in text


def test_a_page_without_a_context_has_no_part_about_it() -> None:
    plain = pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(2,))
    own = {"context", "effects", "labels"}
    assert not own & set(parts_of(subject(plain, X)))
    assert own & set(parts_of(about())) == {"context"}
