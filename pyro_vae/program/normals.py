"""Normal rows whose noise is correlated, or whose columns are mapped, as source."""

from typing import Any

from pyro_vae.likelihoods.learned_correlation import LOADING, FullCorrelation
from pyro_vae.likelihoods.learned_warp import FLOOR
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import raw_of
from pyro_vae.program.snippet import Snippet, positive, tensor


def correlated(made: Snippet, correlation: Any) -> Snippet:
    """Independent normals made one with learned correlations.

    Arguments:
        made: the source of the independent ones, with lines for loc and scale.
        correlation: the module.
    """
    *lines, _ = made.lines
    size = correlation.size
    at_one = tensor((size,), raw_of(1.0))
    if isinstance(correlation, FullCorrelation):
        first = f'"below": {tensor(correlation.below.shape)}'
        second = f'["diagonal"] = {at_one}'
        lines += [
            "own = self.x_correlation",
            f"rows = torch.diag({positive('own.diagonal')})",
            f"lower = tuple(torch.tril_indices({size}, {size}, -1))",
            "rows = rows.index_put(lower, own.below)",
            "scale_tril = scale.unsqueeze(-1) * rows / rows.norm(dim=1, keepdim=True)",
            "return dist.MultivariateNormal(loc, scale_tril=scale_tril)",
        ]
    else:
        shape = correlation.loadings.shape
        first = f'"loadings": {LOADING} * torch.randn{tuple(shape)}'
        second = f'["std"] = {at_one}'
        lines += [
            "own = self.x_correlation",
            f"std = {positive('own.std')}",
            "length = (std.square() + own.loadings.square().sum(1)).sqrt()",
            "loadings = (scale / length).unsqueeze(-1) * own.loadings",
            "variance = (scale * std / length).square()",
            "return dist.LowRankMultivariateNormal(loc, loadings, variance)",
        ]
    start = (
        f"self.x_correlation = nn.ParameterDict({{{first}}})",
        f"self.x_correlation{second}",
    )
    return Snippet((*made.start, *start), tuple(lines))


def warped(made: Snippet, shape: Shape) -> Snippet:
    """The distribution of x from that of t(x).

    Arguments:
        made: the source of t(x).
        shape: of a row.
    """
    *lines, last = made.lines
    zeros, ones = tensor(shape), tensor(shape, 1.0)
    buffers = {
        "origin": zeros,
        "unit": ones,
        "first_centre": zeros,
        "first_width": ones,
    }
    numbers = f'"centre": {zeros}, "width": {zeros}'
    start = [
        f"self.x_warp = nn.ParameterDict({{{numbers}}})",
        *(
            f'self.x_warp.register_buffer("{name}", {value})'
            for name, value in buffers.items()
        ),
    ]
    lines += [
        last.replace("return ", "row = ", 1),
        "own = self.x_warp",
        "centre = own.origin + own.unit * (own.first_centre + own.centre)",
        f"start = (own.first_width - {FLOOR!r}).expm1().log()",
        f"width = own.unit * ({positive('start + own.width', FLOOR)})",
        "return Warped(row, centre, width)",
    ]
    return Snippet((*made.start, *start), tuple(lines))
