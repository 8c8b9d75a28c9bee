#!/usr/bin/env bash
# pythae 0.1.2 on torch 2.13.0: the loss of its IWAE is no bound, and get_nll has the other sign.
# Guess: the IWAE loss is minus the bound of Burda, Grosse and Salakhutdinov (2016), up to a
#        constant: never below -log p(x). get_nll returns a negative log likelihood, from n_samples
#        importance samples.
# Seen:  on a linear Gaussian model whose log p(x) is known (-6.1600 on average) the loss plus its
#        missing constant D/2 log 2π is 6.138 with 500 samples: below 6.160 on average over 300
#        runs. It is minus Σ w log w' with normalised weights w, whose gradient is the IWAE's and
#        whose value is not. VAE and MIWAE stay above, as a bound does. get_nll returns +log p(x),
#        -6.16, constant included; n_samples=1 takes `batch_size` (100) samples all the same.
# Why:   a curve of this loss flatters the model, and its minimum is no log likelihood; of two
#        models the one with the larger get_nll is the better one.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 pydantic==2.14.3 tqdm==4.70.1 \
    cloudpickle==3.1.2
"$work/env/bin/pip" install -q --disable-pip-version-check \
    --no-deps pythae==0.1.2
cd "$work" && env/bin/python -I -W ignore - <<'PY'
import math

import torch
from pythae.models import IWAE, MIWAE, VAE, IWAEConfig, MIWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder

D, L = 4, 2
W = torch.tensor(
    [[1.0, 0.5], [0.0, 1.0], [0.3, -0.2], [0.7, 0.1]]
)  # x ~ N(W z, 1), so x ~ N(0, 1 + W Wᵀ)
COVARIANCE = torch.linalg.inv(torch.eye(L) + W.T @ W)


class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        log_variance = COVARIANCE.diagonal().log().expand(len(x), L)
        return ModelOutput(
            embedding=x.reshape(len(x), -1) @ W @ COVARIANCE, log_covariance=log_variance
        )


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, z):
        return ModelOutput(reconstruction=z @ W.T)


torch.manual_seed(0)
x = torch.randn(6, D)
right = (
    torch.distributions.MultivariateNormal(torch.zeros(D), torch.eye(D) + W @ W.T)
    .log_prob(x)
    .mean()
    .item()
)
print(f"log p(x) {right:.4f}")
shared = {"input_dim": (D,), "latent_dim": L, "reconstruction_loss": "mse"}
models = {
    "VAE": VAE(VAEConfig(**shared), Encoder(), Decoder()),
    "IWAE": IWAE(IWAEConfig(**shared, number_samples=500), Encoder(), Decoder()),
    "MIWAE": MIWAE(
        MIWAEConfig(**shared, number_gradient_estimates=1, number_samples=500), Encoder(), Decoder()
    ),
}
with torch.no_grad():
    for name, model in models.items():
        losses = torch.stack(
            [model({"data": x}).loss.reshape(()) for _ in range(300)]
        ) + D / 2 * math.log(2 * math.pi)
        mean, error = losses.mean().item(), losses.std().item() / math.sqrt(len(losses))
        print(
            f"{name:5} loss with its constant {mean:.4f} ± {error:.4f}; -log p(x) is {-right:.4f}"
        )
        if name == "IWAE":
            assert mean + 5 * error < -right, "the loss of IWAE is a bound now"
        else:
            assert mean + 5 * error > -right, f"the loss of {name} is no bound now"
    nll = models["VAE"].get_nll(x, n_samples=1000, batch_size=1000)
    one = torch.tensor([models["VAE"].get_nll(x, n_samples=1) for _ in range(20)])
    print(
        f"get_nll {nll:.4f}; with n_samples=1: {one.mean():.4f}, standard deviation {one.std():.4f}"
    )
    assert abs(nll - right) < 0.02, "get_nll has changed"
    assert one.std() < 0.1, "n_samples=1 takes one sample now"
PY
