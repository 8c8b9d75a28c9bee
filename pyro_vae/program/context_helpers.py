"""Functions and classes that the source of a program with a context may need, as text."""

from pyro_vae.networks.positive_numbers import RAW_OF_ONE

CONTEXT_HELPERS = {
    "beside": """
def beside(*parts):  # as one vector; leading dimensions are broadcast
    lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*lead, -1) for part in parts], -1)
""",
    "by_rows": """
def by_rows(network, z):  # of a network that takes one dimension of rows
    return network(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
""",
    "Features": '''
class Features(nn.Module):
    """e(c): numbers in units of their spread, and levels as one-hot or learned vectors."""

    def __init__(self, levels, embedding=None):
        super().__init__()
        self.levels, self.embeddings = levels, nn.ParameterDict()
        self.register_buffer("mean", torch.zeros(len(levels)))
        self.register_buffer("std", torch.ones(len(levels)))
        for position, count in enumerate(levels):
            if count and embedding:
                self.embeddings[str(position)] = torch.randn(count, embedding)

    def forward(self, context):
        parts = list(((context - self.mean) / self.std).split(1, -1))
        for position, count in enumerate(self.levels):
            if count:
                level = context[..., position : position + 1]
                every = torch.arange(count, device=level.device)
                parts[position] = (level == every) + 0.0 * level  # an unknown one stays nan
            if str(position) in self.embeddings:
                parts[position] = parts[position] @ self.embeddings[str(position)]
        return torch.cat(parts, -1)
''',
    "InEveryLayer": '''
class InEveryLayer(nn.Module):
    """A perceptron whose linear layers all see e(c), the last numbers of the input."""

    def __init__(self, layers, width):
        super().__init__()
        self.layers, self.width, self.effects = layers, width, nn.ModuleDict()
        linear = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
        for i in linear[1:]:
            self.effects[str(i)] = nn.Linear(width, layers[i].out_features, bias=False)
            nn.init.zeros_(self.effects[str(i)].weight)

    def forward(self, inputs):
        hidden, features = inputs, inputs[..., -self.width :]
        for i, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if str(i) in self.effects:
                hidden = hidden + self.effects[str(i)](features)
        return hidden
''',
    "Effect": f'''
class Effect(nn.Module):
    """u of each level and, last, of a new one: p(u) = N(0, s^2), q(u) = N(loc, scale^2)."""

    def __init__(self, levels, dim, raw, s=None):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(levels, dim))
        self.raw = nn.Parameter(torch.full((levels, dim), raw))
        self.register_buffer("one", torch.ones(()), persistent=False)
        self.fixed = s
        if s is None:
            self.raw_s = nn.Parameter(torch.tensor({RAW_OF_ONE!r}))

    def s(self):
        return 0.0001 + softplus(self.raw_s) if self.fixed is None else self.fixed * self.one

    def means(self):
        return nn.functional.pad(self.loc, (0, 0, 0, 1))

    def prior(self):
        s = self.s()
        return dist.Normal(torch.zeros_like(s), s).expand(self.means().shape).to_event(2)

    def posterior(self):
        known, new = 0.0001 + softplus(self.raw), self.s().expand_as(self.raw[:1])
        return dist.Normal(self.means(), torch.cat([known, new])).to_event(2)
''',
    "placed": """
def placed(context, tables):  # the vectors of random effects in the place of their levels
    parts = list(context.split(1, -1))
    for position, table in tables.items():
        table = table.squeeze(-3) if table.ndim > 2 else table  # of several particles
        every = torch.arange(table.shape[-2], device=table.device)
        parts[position] = (parts[position] == every).to(table.dtype) @ table
    return beside(*parts)
""",
    "modelled_label": """
def modelled_label(context, p):  # observed where it is known; elsewhere Pyro sums over it
    label = context[..., -1]
    known = ~label.isnan()
    observed = torch.where(known, label, 0.0).long()
    if known.all():
        pyro.sample("y", p, obs=observed)
        return context
    every = {"enumerate": "parallel"}
    drawn = pyro.sample("y", p, obs=observed, obs_mask=known, infer=every)
    return beside(context[..., :-1], drawn.to(context.dtype).unsqueeze(-1))
""",
    "guided_label": """
def guided_label(context, q):  # drawn where it is unknown
    label = context[..., -1]
    unknown = label.isnan()
    if not unknown.any():
        return context
    with pyro.poutine.mask(mask=unknown):
        drawn = pyro.sample("y_unobserved", q, infer={"enumerate": "parallel"})
    label = torch.where(unknown, drawn.to(context.dtype), label)
    return beside(context[..., :-1], label.unsqueeze(-1))
""",
}
