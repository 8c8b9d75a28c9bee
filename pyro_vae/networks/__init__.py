"""Networks: tensors to tensors. They know no probability.

A network constructor takes `in_shape` and `out_shape`. An encoder has no `out_shape`: it ends in
features of any width, which the guide projects. A decoder ends in the parameters of the likelihood,
shaped `out_shape`.
"""

from pyro_vae.networks.base import NETWORKS, Activation, Shape, activation
from pyro_vae.networks.convolution import conv
from pyro_vae.networks.evaluation_mode import evaluating, exported, traced
from pyro_vae.networks.invertible import import_zuko
from pyro_vae.networks.matmul_precision import MatmulPrecision
from pyro_vae.networks.perceptron import Gated, Residual, gated_mlp, mlp, residual
from pyro_vae.networks.positive_numbers import positive
from pyro_vae.networks.precision import Precision, autocast, mixed_precision
from pyro_vae.networks.standardize import Standardize, standardized_shape

__all__ = [
    "NETWORKS",
    "Activation",
    "Gated",
    "MatmulPrecision",
    "Precision",
    "Residual",
    "Shape",
    "Standardize",
    "activation",
    "autocast",
    "conv",
    "evaluating",
    "exported",
    "gated_mlp",
    "import_zuko",
    "mixed_precision",
    "mlp",
    "positive",
    "residual",
    "standardized_shape",
    "traced",
]
