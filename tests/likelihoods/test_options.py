"""Options that are refused, each with a message that says what to do."""

import pytest

from pyro_vae import VAE, Spec
from tests.likelihoods.families import build

INVALID = {
    "laplace": [{"scale": 0}, {"scale": "wide"}, {"df": 3}],
    "student_t": [{"df": 1.0}, {"df": 0.5}, {"scale": -1.0}],
    "log_normal": [{"scale": 0.0}],
    "gamma": [{"concentration": 0}, {"rate": 1}],
    "beta": [{"concentration": -1}],
    "poisson": [{"size_factor": "row"}],
    "negative_binomial": [{"dispersion": 0}, {"dispersion": "gene"}],
    "zero_inflated_poisson": [{"dispersion": 1}],
    "zero_inflated_negative_binomial": [{"size_factor": True}],
    "categorical": [{}, {"num_classes": 1}, {"num_classes": 2.5}],
    "ordinal": [{}, {"num_classes": 1}, {"num_classes": 2.5}, {"cutpoints": 3}],
    "multinomial": [{"total_count": 0}],
    "discretized_logistic": [{"levels": 1}, {"mixtures": 0}],
    "distribution": [{}, {"name": "Gumbel", "fixed": {"loc": "middle"}}],
    "mixed": [
        {},
        {"columns": [{"columns": "0-3", "kind": "normal"}]},
        {"columns": [{"columns": [], "kind": "normal"}]},
    ],
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, one) for kind, several in INVALID.items() for one in several],
)
def test_options_out_of_range_name_their_path(kind, options):
    with pytest.raises(ValueError, match=rf"likelihood\.{kind}"):
        Spec(data_shape=(3,), likelihood={"kind": kind, **options})


@pytest.mark.parametrize(
    "kind", ["poisson", "negative_binomial", "zero_inflated_poisson"]
)
@pytest.mark.parametrize("data_shape", [(1,), (2, 2)])
def test_a_size_factor_needs_a_column(kind, data_shape):
    with pytest.raises(
        ValueError,
        match=r"size_factor: 'column' is the last of the columns.*append the size factor",
    ):
        build({"kind": kind, "size_factor": "column"}, data_shape)


@pytest.mark.parametrize(
    "options", [{"kind": "multinomial"}, {"kind": "mixed", "columns": []}]
)
def test_rows_of_columns_are_one_dimensional(options):
    with pytest.raises(
        ValueError, match=r"expected .*data_shape \(D,\), got \(2, 2\); flatten"
    ):
        build(options, (2, 2))


def groups(*columns):
    return {
        "kind": "mixed",
        "columns": [{"columns": each, "kind": "normal"} for each in columns],
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "missing: 0:5"),
        (["0:2", 4], "missing: 2:4$"),
        (["0:3", "2:5"], "doubled: 2$"),
        ([[0, 1, 1], "2:5"], "doubled: 1$"),
        (["0:7"], "not there: 5:7$"),
        (["0:2", [1, 6]], "missing: 2:5; doubled: 1; not there: 6$"),
    ],
)
def test_mixed_columns_are_each_in_one_group(columns, message):
    with pytest.raises(
        ValueError,
        match=f"expected each of 5 columns in exactly one group, got {message}",
    ):
        build(groups(*columns), (5,))


def test_mixed_takes_no_object_and_no_unknown_kind():
    with pytest.raises(
        ValueError, match="expected the kind of a likelihood for each group"
    ):
        build(
            {
                "kind": "mixed",
                "columns": [{"columns": "0:2", "kind": "custom", "type": "mine"}],
            },
            (2,),
        )
    with pytest.raises(
        ValueError, match=r"unknown likelihood 'nrmal'.*did you mean 'normal'"
    ):
        build({"kind": "mixed", "columns": [{"columns": "0:2", "kind": "nrmal"}]}, (2,))
    with pytest.raises(ValueError, match="total_count"):
        build(
            {"kind": "mixed", "columns": [{"columns": "0:2", "kind": "binomial"}]}, (2,)
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Gumbell"}, "unknown name 'Gumbell'; did you mean 'Gumbel'"),
        ({"name": "weibul"}, "did you mean 'Weibull'"),
        ({"name": "qqqqqq"}, "see pyro.distributions"),
        (
            {"name": "Binomial"},
            "total_count can't come from a decoder; give it as a number, fixed={'total_count'",
        ),
        ({"name": "MultivariateNormal"}, "loc is a vector or a matrix"),
        ({"name": "Categorical"}, "logits is a vector or a matrix"),
        ({"name": "LogisticNormal"}, "it is over vectors"),
        ({"name": "Uniform"}, "its parameters depend on each other"),
        ({"name": "Pareto"}, "its support changes with alpha and scale"),
        (
            {"name": "GeneralizedPareto", "fixed": {"loc": 0, "scale": 1}},
            "its support changes with concentration",
        ),
        (
            {"name": "Normal", "fixed": {"loc": 0, "scale": 1}},
            "it has no parameter for the decoder",
        ),
        (
            {"name": "Gumbel", "fixed": {"shape": 1}},
            "unexpected keyword argument 'shape'",
        ),
        ({"name": "SkewLogistic"}, "it has no density or no mean"),
        ({"name": "Independent"}, "it has no parameter for the decoder"),
        ({"name": "Normal", "fixed": {"scale": -1}}, "scale"),
    ],
)
def test_distributions_that_are_no_likelihood_are_refused(options, message):
    with pytest.raises(ValueError, match=r"^distribution: ") as found:
        VAE(data_shape=(3,), likelihood={"kind": "distribution", **options})
    assert message in str(found.value)
