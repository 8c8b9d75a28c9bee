"""Functions and classes that the source of a program may need, as text."""

from pyro_vae.networks.invertible import LARGEST_LOG_SCALE
from pyro_vae.networks.positive_numbers import RAW_OF_ONE

HELPERS = {
    "Normal": """
class Normal(dist.Normal):  # torch squares the scale, which float32 can't hold from 1e19 on
    def log_prob(self, value):
        standard = (value - self.loc) / self.scale
        return -0.5 * standard.square() - self.scale.log() - 0.9189385332046727
""",
    "factor": f"""
def factor(raw):  # positive, and 1 at 0
    return 0.0001 + softplus(raw + {RAW_OF_ONE!r})
""",
    "root_mean_square": """
def root_mean_square(x):
    return x.max() * (x / x.max()).square().mean().sqrt()
""",
    "Gated": """
class Gated(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.linear = nn.Linear(before, after)
        self.gate = nn.Linear(before, after)

    def forward(self, x):
        return self.linear(x) * torch.sigmoid(self.gate(x))
""",
    "Residual": """
class Residual(nn.Module):
    def __init__(self, width, activation):
        super().__init__()
        self.change = nn.Sequential(nn.LayerNorm(width), activation, nn.Linear(width, width))

    def forward(self, h):
        return h + self.change(h)
""",
    "Coupling": f'''
class Coupling(nn.Module):
    """(a, b) -> (b exp s(a) + t(a), a), with one network for s and t."""

    def __init__(self, first, rest, hidden_dims):
        super().__init__()
        self.sizes, layers, width = (first, rest), [nn.Flatten(-1)], first
        for after in hidden_dims:
            layers += [nn.Linear(width, after), nn.SiLU()]
            width = after
        layers += [nn.Linear(width, 2 * rest), nn.Unflatten(-1, (2, rest))]
        self.net = nn.Sequential(*layers)

    def affine(self, a):
        raw, shift = self.net(a).unbind(-2)
        return {LARGEST_LOG_SCALE!r} * torch.tanh(raw / {LARGEST_LOG_SCALE!r}), shift

    def forward(self, z):
        a, b = z.split(self.sizes, -1)
        log_scale, shift = self.affine(a)
        return torch.cat([b * log_scale.exp() + shift, a], -1), log_scale.sum(-1)

    def inverse(self, moved):
        b, a = moved.split(self.sizes[::-1], -1)
        log_scale, shift = self.affine(a)
        return torch.cat([a, (b - shift) * (-log_scale).exp()], -1)
''',
    "Flow": '''
class Flow(dist.TorchDistribution):
    """The density of z that the layers map to a draw of the base."""

    arg_constraints, support, has_rsample = {}, dist.constraints.real_vector, True

    def __init__(self, base, layers):
        self.base, self.layers = base, layers
        super().__init__(event_shape=base.event_shape)

    def log_prob(self, value):
        log_det = 0.0
        for layer in self.layers:
            value, change = layer(value)
            log_det = log_det + change
        return self.base.log_prob(value) + log_det

    def rsample(self, sample_shape=torch.Size()):
        z = self.base.rsample(sample_shape)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z
''',
    "Autoregressive": """
class Autoregressive(nn.Module):
    def __init__(self, lazy):
        super().__init__()
        self.lazy = lazy

    def forward(self, z):
        return self.lazy().call_and_ladj(z)

    def inverse(self, moved):
        return self.lazy().inv(moved)
""",
    "masked_transforms": """
def masked_transforms(dim, context, passes, count, hidden_dims, **univariate):
    orders = torch.arange(dim), torch.arange(dim).flip(0)
    options = dict(passes=passes, hidden_features=hidden_dims, activation=nn.SiLU, **univariate)
    make = zuko.flows.MaskedAutoregressiveTransform
    return nn.ModuleList(make(dim, context, order=orders[k % 2], **options) for k in range(count))
""",
    "Flowed": '''
class Flowed(dist.TorchDistribution):
    """z = loc + scale T(noise), noise ~ N(0, I); the last draw keeps its density."""

    arg_constraints, support, has_rsample = {}, dist.constraints.real_vector, True

    def __init__(self, loc, scale, transform):
        self.loc, self.scale, self.transform, self.drawn = loc, scale, transform, (None, None)
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    def rsample(self, sample_shape=torch.Size()):
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        moved, log_det = self.transform.call_and_ladj(noise)
        z = self.loc + self.scale * moved
        self.drawn = z, self.density(noise, log_det)
        return z

    def log_prob(self, value):
        if value is self.drawn[0]:
            return self.drawn[1]
        moved = (value - self.loc) / self.scale
        noise, log_det = self.transform.inv.call_and_ladj(moved)
        return self.density(noise, -log_det)

    def density(self, noise, log_det):
        constant = noise.shape[-1] * 1.8378770664093453  # log 2 pi
        normal = -0.5 * (noise.square().sum(-1) + constant)
        return normal - (log_det + self.scale.log().sum(-1))
''',
    "TwoLevels": '''
class TwoLevels(dist.TorchDistribution):
    """z = (z1, z2), z2 drawn first: p(z2) p(z1 | z2)."""

    arg_constraints, support = {}, dist.constraints.real_vector

    def __init__(self, top, below, latent_dim):
        self.top, self.below, self.has_rsample = top, below, top.has_rsample
        super().__init__(top.batch_shape, torch.Size([latent_dim]))

    def rsample(self, sample_shape=torch.Size()):
        z2 = self.top.rsample(sample_shape)
        return torch.cat([self.below(z2).rsample(), z2], -1)

    def sample(self, sample_shape=torch.Size()):
        with torch.no_grad():
            z2 = self.top.sample(sample_shape)
            return torch.cat([self.below(z2).sample(), z2], -1)

    def log_prob(self, value):
        z1, z2 = value.tensor_split([-self.top.event_shape[0]], -1)
        return self.top.log_prob(z2) + self.below(z2).log_prob(z1)

    def expand(self, batch_shape, _instance=None):
        return type(self)(self.top.expand(batch_shape), self.below, self.event_shape[0])
''',
    "TwoNormals": """
class TwoNormals(TwoLevels):  # drawn by the noise of both levels at once
    def rsample(self, sample_shape=torch.Size()):
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.top.mean.dtype, device=self.top.mean.device)
        noise1, noise2 = noise.tensor_split([-self.top.event_shape[0]], -1)
        z2 = self.top.mean + self.top.stddev * noise2
        below = self.below(z2)
        return torch.cat([below.mean + below.stddev * noise1, z2], -1)
""",
    "Warped": '''
class Warped(dist.TorchDistribution):
    """x whose map c + w asinh((x - c) / w) has the distribution `row`."""

    arg_constraints, support = {}, dist.constraints.real_vector

    def __init__(self, row, centre, width):
        self.row, self.centre, self.width = row, centre, width
        super().__init__(row.batch_shape, row.event_shape)

    def log_prob(self, value):
        standard = (value - self.centre) / self.width
        mapped = self.centre + self.width * torch.asinh(standard)
        slopes = -torch.hypot(standard, torch.ones_like(standard)).log()
        return self.row.log_prob(mapped) + slopes.flatten(-len(self.event_shape)).sum(-1)

    def sample(self, sample_shape=torch.Size()):
        standard = (self.row.sample(sample_shape) - self.centre) / self.width
        return (self.centre + self.width * torch.sinh(standard)).detach()
''',
    "Sized": '''
class Sized(dist.TorchDistribution):
    """Counts given the size of a row, which stands in its last column."""

    arg_constraints, support = {}, dist.constraints.real_vector

    def __init__(self, counts, typical):
        self.counts, self.row, self.typical = counts, counts(typical), typical
        super().__init__(self.row.batch_shape, torch.Size([self.row.event_shape[0] + 1]))

    def log_prob(self, value):
        return self.counts(value[..., -1:]).log_prob(value[..., :-1])

    def sample(self, sample_shape=torch.Size()):
        drawn = self.row.sample(sample_shape)
        return torch.cat([drawn, self.typical.expand_as(drawn[..., :1])], -1)
''',
    "TotalSized": '''
class TotalSized(dist.TorchDistribution):
    """Counts given the size of a row, which is the total of the row itself."""

    arg_constraints, support = {}, dist.constraints.real_vector

    def __init__(self, counts, typical):
        self.counts, row = counts, counts(typical)
        self.sample, self.cells = row.sample, list(range(-len(row.event_shape), 0))
        super().__init__(row.batch_shape, row.event_shape)

    def log_prob(self, value):
        size = value.sum(self.cells, keepdim=True).clamp(min=1e-20)
        return self.counts(size).log_prob(value)
''',
    "Columns": '''
class Columns(dist.TorchDistribution):
    """Groups of columns with a distribution each, as one row."""

    arg_constraints, support = {}, dist.constraints.real_vector

    def __init__(self, parts, columns):
        self.parts, self.columns = parts, columns
        super().__init__(parts[0].batch_shape, torch.Size([sum(map(len, columns))]))

    def log_prob(self, value):
        pairs = zip(self.parts, self.columns)
        return torch.stack([part.log_prob(value[..., own]) for part, own in pairs]).sum(0)

    def sample(self, sample_shape=torch.Size()):
        drawn = torch.cat([part.sample(sample_shape).float() for part in self.parts], -1)
        return drawn[..., torch.tensor(sum(self.columns, [])).argsort()]
''',
    "Observed": '''
def observed_log_prob(row, x, observed):
    if hasattr(row, "parts"):
        groups = [(x[..., own], observed[..., own]) for own in row.columns]
        each = [observed_log_prob(p, *group) for p, group in zip(row.parts, groups)]
        return torch.stack(each).sum(0)
    cells = torch.where(observed, row.base_dist.log_prob(x), 0.0)
    return cells.flatten(-len(row.event_shape)).sum(-1)


class Observed(dist.TorchDistribution):
    """log p of the observed cells of rows; a missing one is nan."""

    arg_constraints, support = {}, dist.constraints.real_vector

    def __init__(self, row, fill):
        self.row, self.fill = row, fill
        super().__init__(row.batch_shape, row.event_shape)

    def log_prob(self, value):
        observed = ~value.isnan()
        return observed_log_prob(self.row, torch.where(observed, value, self.fill), observed)

    def sample(self, sample_shape=torch.Size()):
        return self.row.sample(sample_shape)
''',
    "DiscretizedLogistic": '''
class DiscretizedLogistic(dist.TorchDistribution):
    """x = round(y) for y ~ Logistic(loc, scale), kept in {0, ..., levels - 1}."""

    arg_constraints = {}

    def __init__(self, loc, scale, levels):
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(loc.shape)

    @property
    def support(self):
        return dist.constraints.integer_interval(0, self.levels - 1)

    def log_prob(self, value):
        is_first, is_last = value == 0, value == self.levels - 1
        log_above = logsigmoid((value + 0.5 - self.loc) / self.scale)
        log_below = logsigmoid((self.loc - value + 0.5) / self.scale)
        log_width = torch.log(-torch.expm1(-1 / self.scale))
        inner = torch.where(is_first | is_last, 0.0, log_width)
        return torch.where(is_last, 0.0, log_above) + torch.where(is_first, 0.0, log_below) + inner

    def sample(self, sample_shape=torch.Size()):
        uniform = torch.rand(self._extended_shape(sample_shape)).clamp(1e-7, 1 - 1e-7)
        y = self.loc + self.scale * torch.logit(uniform.to(self.loc))
        return y.round().clamp(0, self.levels - 1).detach()
''',
}
