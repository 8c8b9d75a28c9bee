"""Quantiles of draws with importance weights, where one draw has nearly all of the weight."""

import numpy as np
import pytest

from pyro_vae.analysis.imputation.cells import LEVELS, weighted_quantiles

DRAWS = np.array([[0.0], [1.0], [2.0]])


# corner 2.3.0 and dynesty 3.1.0 leave out the weight of the largest value: their median is 1 for
# the weights (0.01, 0.01, 0.98), see findings/corner_weight_of_the_largest.sh
@pytest.mark.parametrize("dominant", [0, 1, 2])
def test_the_draw_with_the_weight_is_every_quantile(dominant):
    weights = np.full((3, 1), 0.01)
    weights[dominant] = 0.98
    found = weighted_quantiles(DRAWS, weights)
    assert found.tolist() == [[DRAWS[dominant, 0]] * len(LEVELS)]


def test_each_quantile_has_its_level_of_the_weight_below():
    random = np.random.default_rng(0)
    draws = random.normal(size=(500, 2))
    weights = np.exp(2 * draws)
    weights /= weights.sum(0)
    expected = [
        np.quantile(draws[:, i], LEVELS, weights=weights[:, i], method="inverted_cdf")
        for i in range(2)
    ]
    np.testing.assert_array_equal(weighted_quantiles(draws, weights), expected)
