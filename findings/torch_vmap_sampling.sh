#!/usr/bin/env bash
# torch 2.13.0: which distributions can be sampled inside torch.func.vmap.
# Guess: with randomness="different" every distribution samples, with "same" none differs between
#        the mapped rows.
# Seen:  a mapped parameter, "different": Normal, Gamma, Poisson, Binomial, Bernoulli, Categorical,
#        NegativeBinomial, Gumbel and Uniform sample; Exponential, Laplace, Cauchy, StudentT,
#        Geometric, Beta, Dirichlet, VonMises and Multinomial raise a RuntimeError. "same" is the
#        other way round for most: Exponential, Laplace, Cauchy and Geometric sample (all rows
#        equal), Normal, Gamma, Poisson, Binomial, Bernoulli and Categorical raise. Only Gumbel and
#        Uniform do both.
# Why:   a per-row particle loop that was written with vmap for a normal latent stops at the first
#        Laplace or Beta one.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import torch
import torch.distributions as dist

dist.Distribution.set_default_validate_args(
    False
)  # its checks are a branch on data, which vmap refuses
families = {
    "Normal": lambda a: dist.Normal(a, 1.0),
    "Gamma": lambda a: dist.Gamma(a, 1.0),
    "Poisson": lambda a: dist.Poisson(10 * a),
    "Binomial": lambda a: dist.Binomial(100, a / 4),
    "Bernoulli": lambda a: dist.Bernoulli(a / 4),
    "Categorical": lambda a: dist.Categorical(logits=torch.stack([a] * 9)),
    "NegativeBinomial": lambda a: dist.NegativeBinomial(5 * a, torch.tensor(0.5)),
    "Gumbel": lambda a: dist.Gumbel(a, 1.0),
    "Uniform": lambda a: dist.Uniform(0.0, a),
    "Exponential": lambda a: dist.Exponential(a),
    "Laplace": lambda a: dist.Laplace(a, 1.0),
    "Cauchy": lambda a: dist.Cauchy(a, 1.0),
    "Geometric": lambda a: dist.Geometric(a / 4),
    "StudentT": lambda a: dist.StudentT(a),
    "Beta": lambda a: dist.Beta(a, 1.0),
    "Dirichlet": lambda a: dist.Dirichlet(torch.stack([a, a])),
    "VonMises": lambda a: dist.VonMises(0.0, a),
    "Multinomial": lambda a: dist.Multinomial(20, logits=torch.stack([a, a])),
}


def samples(family, randomness):
    torch.manual_seed(0)
    try:
        torch.func.vmap(lambda a: family(a).sample(), randomness=randomness)(torch.full((3,), 2.0))
    except RuntimeError:
        return False
    return True


seen = {
    name: (samples(family, "different"), samples(family, "same"))
    for name, family in families.items()
}
for name, (different, same) in seen.items():
    print(
        f"{name:17} different: {'samples' if different else 'raises':8} same: "
        f"{'samples' if same else 'raises'}"
    )
only_different = {
    "Normal",
    "Gamma",
    "Poisson",
    "Binomial",
    "Bernoulli",
    "Categorical",
    "NegativeBinomial",
}
expected = {
    name: (name in only_different or name in {"Gumbel", "Uniform"}, name not in only_different)
    for name in seen
}
for name in ("StudentT", "Beta", "Dirichlet", "VonMises", "Multinomial"):
    expected[name] = (False, False)
assert seen == expected, {name: seen[name] for name in seen if seen[name] != expected[name]}
PY
