"""A model as formulas in LaTeX."""

import math
import re
from typing import Any

from pyro_vae.spec import Spec

__all__ = ["latex_of"]

PRIORS = {
    "standard_normal": r"\mathcal{N}(z \mid 0, I)",
    "normal": r"\prod_i \mathcal{N}(z_i \mid \mu_i, \sigma_i^2)",
    "laplace": r"\prod_i \mathrm{Laplace}(z_i \mid 0, b_i)",
    "student_t": r"\prod_i t_\nu(z_i \mid 0, \sigma_i)",
    "mixture": r"\sum_{k=1}^{%(components)s} \pi_k\, \mathcal{N}(z \mid \mu_k,"
    r" \operatorname{diag} \sigma_k^2)",
    "vamp": r"\frac{1}{%(pseudo_inputs)s} \sum_{k=1}^{%(pseudo_inputs)s} q(z \mid u_k)",
    "flow": r"\mathcal{N}(f(z) \mid 0, I)\, |\det \partial f / \partial z|,"
    r" \quad f = f_{%(transforms)s} \circ \dots \circ f_1",
    "hierarchical": r"p(z_2)\, \mathcal{N}(z_1 \mid \mu(z_2), \operatorname{diag} \sigma(z_2)^2),"
    r" \quad z = (z_1, z_2)",
    "flat": "1",
}

LIKELIHOODS = {
    "normal": r"\prod_i \mathcal{N}(x_i \mid \mu_i(z), \sigma_i^2)",
    "laplace": r"\prod_i \mathrm{Laplace}(x_i \mid \mu_i(z), b_i)",
    "student_t": r"\prod_i t_{\nu}(x_i \mid \mu_i(z), \sigma_i)",
    "log_normal": r"\prod_i \mathcal{N}(\log x_i \mid \mu_i(z), \sigma_i^2) / x_i",
    "gamma": r"\prod_i \mathrm{Gamma}(x_i \mid k_i, k_i / m_i(z))",
    "beta": r"\prod_i \mathrm{Beta}(x_i \mid c_i m_i(z), c_i (1 - m_i(z)))",
    "continuous_bernoulli": r"\prod_i \mathrm{CB}(x_i \mid \lambda_i(z))",
    "bernoulli": r"\prod_i \mathrm{Bernoulli}(x_i \mid \pi_i(z))",
    "binomial": r"\prod_i \mathrm{Binomial}(x_i \mid n, \pi_i(z))",
    "beta_binomial": r"\prod_i \mathrm{BetaBinomial}(x_i \mid %(total_count)s, c_i m_i(z),"
    r" c_i (1 - m_i(z)))",
    "poisson": r"\prod_i \mathrm{Poisson}(x_i \mid r_i(z))",
    "negative_binomial": r"\prod_i \mathrm{NB}(x_i \mid m_i(z), \theta_i)",
    "zero_inflated_poisson": r"\prod_i \left[ \pi_i(z)\, 1_{x_i = 0} +"
    r" (1 - \pi_i(z))\, \mathrm{Poisson}(x_i \mid r_i(z)) \right]",
    "zero_inflated_negative_binomial": r"\prod_i \left[ \pi_i(z)\, 1_{x_i = 0} +"
    r" (1 - \pi_i(z))\, \mathrm{NB}(x_i \mid m_i(z), \theta_i) \right]",
    "multinomial": r"\mathrm{Multinomial}(x \mid \sum_i x_i, \pi(z))",
    "categorical": r"\prod_i \mathrm{Categorical}(x_i \mid \pi_{i1}(z), \dots,"
    r" \pi_{i,%(num_classes)s}(z))",
    "ordinal": r"\prod_i \left[ \sigma(c_{i,x_i} - \eta_i(z)) -"
    r" \sigma(c_{i,x_i - 1} - \eta_i(z)) \right]",
    "discretized_logistic": r"\prod_i \sum_k w_{ik} \left[ \sigma((x_i + \frac{1}{2} -"
    r" \mu_{ik}(z)) / s_{ik}) - \sigma((x_i - \frac{1}{2} - \mu_{ik}(z)) / s_{ik}) \right]",
    "distribution": r"\prod_i \mathrm{%(name)s}(x_i \mid \theta_i(z))",
}
GIVEN_NORMAL = r"\mathcal{N}(z \mid \mu(c), \operatorname{diag} \sigma(c)^2)"
CORRELATED = r"\mathcal{N}(x \mid \mu(z), \Sigma)"
WARPED = r"\mathcal{N}(t(x) \mid \mu(z), \Sigma) \prod_i t'(x_i)"

GUIDES = {
    "mean_field": r"\mathcal{N}(z \mid \mu(x), \operatorname{diag} \sigma(x)^2)",
    "low_rank": r"\mathcal{N}(z \mid \mu(x), \operatorname{diag} \sigma(x)^2 + V(x) V(x)^\top),"
    r" \quad \operatorname{rank} V = %(rank)s",
    "full_rank": r"\mathcal{N}(z \mid \mu(x), L(x) L(x)^\top)",
    "delta": r"\delta(z - \mu(x))",
    "hierarchical": r"\mathcal{N}(z_2 \mid \mu(x), \operatorname{diag} \sigma(x)^2)\,"
    r" \mathcal{N}(z_1 \mid \mu(x, z_2), \operatorname{diag} \sigma(x, z_2)^2)",
    "flow": r"\mathcal{N}(\varepsilon \mid 0, I)\, |\det \partial z / \partial \varepsilon|^{-1},"
    r" \quad z = \mu(x) + \sigma(x) \odot T(\varepsilon; x)",
    "semi_amortized": r"\mathcal{N}(z \mid \mu(x) + \delta, e^s \Sigma(x) e^s),"
    r" \quad (\delta, s) \text{ by %(steps)s steps up the ELBO}",
}
BOTTOM_UP = (
    r"\mathcal{N}(z_1 \mid \mu(x), \operatorname{diag} \sigma(x)^2)\,"
    r" \mathcal{N}(z_2 \mid \mu(x, z_1), \operatorname{diag} \sigma(x, z_1)^2)"
)


def latex_of(spec: Spec) -> str:
    r"""p(z), p(x | z) and q(z | x) as an `aligned` environment.

    Example:
        >>> print(latex_of(Spec(data_shape=(4,), latent_dim=2, likelihood="poisson")))
        \begin{aligned}
        p(z) &= \mathcal{N}(z \mid 0, I), & z &\in \mathbb{R}^{2} \\
        p(x \mid z) &= \prod_i \mathrm{Poisson}(x_i \mid r_i(z)), & x &= (x_1, \dots, x_{4}) \\
        q(z \mid x) &= \mathcal{N}(z \mid \mu(x), \operatorname{diag} \sigma(x)^2)
        \end{aligned}
    """
    size = math.prod(spec.data_shape)
    numbers = rf"(x_1, \dots, x_{{{size}}})" if size > 1 else "x_1"
    p_z = _formula(PRIORS, spec.prior, "p(z)")
    p_x = _likelihood(spec.likelihood, size)
    q_z = _formula(GUIDES, spec.guide, r"q(z \mid x)")
    if spec.guide.options().get("direction") == "bottom_up":
        q_z = BOTTOM_UP
    z, x_given, z_given = "z", r"x \mid z", r"z \mid x"
    if spec.context is not None and spec.context.prior:
        z, p_z = r"z \mid c", GIVEN_NORMAL
    if spec.context is not None and spec.context.decoder:
        x_given, p_x = r"x \mid z, c", p_x.replace("(z)", "(z, c)")
    if spec.context is not None and spec.context.encoder:
        z_given = r"z \mid x, c"
        q_z = q_z.replace("(x)", "(x, c)").replace("(x, z", "(x, c, z")
        p_z = p_z.replace("u_k", "u_k, c_k")
    return "\n".join(
        [
            r"\begin{aligned}",
            rf"p({z}) &= {p_z}, & z &\in \mathbb{{R}}^{{{spec.latent_dim}}} \\",
            rf"p({x_given}) &= {p_x}, & x &= {numbers} \\",
            rf"q({z_given}) &= {q_z}",
            r"\end{aligned}",
        ]
    )


def _formula(formulas: dict[str, str], options: Any, otherwise: str) -> str:
    """The formula of a kind; of a kind of the user's own only its name."""
    if options.kind not in formulas:
        name = options.kind.replace("_", r"\_")
        return rf"{otherwise} \;\text{{({name})}}"
    return formulas[options.kind] % options.options()


def _likelihood(options: Any, size: int) -> str:
    """The formula of p(x | z) for rows of `size` numbers."""
    if options.kind == "mixed":
        groups = options.options()["columns"]
        return r" \; ".join(_group(group) for group in groups)
    formula = _family(options)
    if _size_of(options) == "total":
        return _multiplied(formula, r"(\sum_j x_j)")
    if _size_of(options) == "column":
        product = rf"\prod_{{i < {size}}}"
        formula = _multiplied(formula, f"x_{{{size}}}").replace(r"\prod_i", product)
    return formula


def _group(group: Any) -> str:
    """The factor of a group of columns, which are counted from 1, as in x."""
    columns = [column + 1 for column in group.columns]
    formula = _family(group.likelihood)
    size = _size_of(group.likelihood)
    if size == "column":
        formula = _multiplied(formula, f"x_{{{columns.pop()}}}")
    own = rf"\{{{', '.join(map(str, columns))}\}}"
    if size == "total":
        formula = _multiplied(formula, rf"(\sum_{{j \in {own}}} x_j)")
    for symbol in (r"\prod", r"\sum"):
        formula = formula.replace(f"{symbol}_i", rf"{symbol}_{{i \in {own}}}")
    return formula.replace("(x ", f"(x_{{{own}}} ").replace("(x)", f"(x_{{{own}}})")


def _family(options: Any) -> str:
    """The formula of a family."""
    chosen = options.options()
    if chosen.get("warp", "none") != "none":
        return WARPED
    if chosen.get("covariance", "diagonal") != "diagonal":
        return CORRELATED
    return _formula(LIKELIHOODS, options, r"p(x \mid z)")


def _size_of(options: Any) -> str:
    """What multiplies the means of a family: "column", "total" or "none"."""
    return str(options.options().get("size_factor", "none"))


def _multiplied(formula: str, size: str) -> str:
    """The formula of counts whose means, r_i or m_i, a size multiplies."""
    return re.sub(
        r"\b([rm])_i\(z\)",
        lambda mean: rf"{size}\, {mean[0]}",
        formula,
    )
