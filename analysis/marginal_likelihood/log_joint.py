"""log p(x, z) of rows and draws, as anyone would write it or from a compiled graph."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.fx import GraphModule

from pyro_vae.arguments import warn_caller
from pyro_vae.compiler.decompositions import LINEAR_AND_TANH
from pyro_vae.compiler.inductor import (
    CPP_WRAPPER,
    FUSED_MULTIPLY_ADD,
    compile_graph,
    trace_graph,
)
from pyro_vae.compiler.refusal import results_differ, why_refused
from pyro_vae.vae import VAE

__all__ = [
    "CompiledJoint",
    "CompiledOnce",
    "Joint",
    "compiled_joint",
    "filled",
    "log_joint",
]

Joint = Callable[[Tensor, Tensor], Tensor]


def log_joint(
    vae: VAE, x: Tensor, z: Tensor, prior: Distribution | None = None
) -> Tensor:
    """log p(x, z) = log p(z) + log p(x | z) for rows x (n, *data_shape) and draws z (draws, n,
    latent_dim).

    A prior that is made once, `vae.prior()`, saves making it again for each chunk of draws.
    """
    density: Tensor = (vae.prior() if prior is None else prior).log_prob(
        z
    ) + vae.likelihood(z).log_prob(x)
    return density


class CompiledJoint:
    """`log_joint` of up to `draws` draws of each of up to `rows` rows, as one compiled graph.

    The Python of likelihood and prior runs once, when it is made; numbers that the modules hold may
    change after that.

    Arguments:
        joint: from rows and draws to log p(x, z).
        x: rows, (rows, *data_shape).
        z: draws, (draws, rows, latent_dim).

    Raises:
        Exception: of many types, where the Python can't be traced or the graph can't be compiled.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2).requires_grad_(False)
        >>> x, z = torch.zeros(3, 4), torch.zeros(5, 3, 2)
        >>> CompiledJoint(lambda x, z: log_joint(vae, x, z), x, z)(x, z).shape  # doctest: +SKIP
        torch.Size([5, 3])
    """

    def __init__(self, joint: Joint, x: Tensor, z: Tensor) -> None:
        self.draws, self.rows = z.shape[:2]
        module = trace_graph(joint, [x, z], LINEAR_AND_TANH)
        self.buffers = _lifted(module)
        self.run = compile_graph(
            module, [*self.buffers, x, z], CPP_WRAPPER | FUSED_MULTIPLY_ADD
        )

    def __call__(self, x: Tensor, z: Tensor) -> Tensor:
        draws, rows = z.shape[:2]
        found: Tensor = self.run(*self.buffers, *filled(x, z, self.draws, self.rows))
        return found[:draws, :rows]


def filled(x: Tensor, z: Tensor, draws: int, rows: int) -> tuple[Tensor, Tensor]:
    """Rows and draws, repeated until there are so many of them, and contiguous.

    Example:
        >>> x, z = filled(torch.tensor([[0.0], [1.0]]), torch.zeros(1, 2, 4), draws=5, rows=3)
        >>> x.flatten(), z.shape
        (tensor([0., 1., 0.]), torch.Size([5, 3, 4]))
    """
    if z.shape[0] < draws:
        z = z[torch.arange(draws, device=z.device) % len(z)]
    if len(x) < rows:
        order = torch.arange(rows, device=x.device) % len(x)
        x, z = x[order], z[:, order]
    return x.contiguous(), z.contiguous()


class CompiledOnce:
    """`joint`, compiled at the first call for so many draws of each of so many rows."""

    def __init__(self, joint: Joint, draws: int, rows: int) -> None:
        self.joint, self.draws, self.rows = joint, draws, rows
        self.compiled: Joint | None = None

    def __call__(self, x: Tensor, z: Tensor) -> Tensor:
        if self.compiled is None:
            self.compiled = compiled_joint(
                self.joint, *filled(x, z, self.draws, self.rows)
            )
        return self.compiled(x, z)


def compiled_joint(joint: Joint, x: Tensor, z: Tensor) -> Joint:
    """`joint`, compiled for rows and draws like these; as it is, with a warning, where that fails
    or disagrees.
    """
    try:
        compiled = CompiledJoint(joint, x, z)
        found, expected = compiled(x, z), joint(x, z)
    except (
        Exception
    ) as error:  # whatever stops the tracer or the compiler, the eager sum remains
        return _eager(joint, why_refused(error, caller=__name__))
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-2, equal_nan=True):
        got, wanted = (float(density.flatten()[0]) for density in (found, expected))
        return _eager(
            joint, results_differ({"log p(x, z)": got}, {"log p(x, z)": wanted})
        )
    return compiled


def _lifted(module: GraphModule) -> list[Tensor]:
    """Turn the tensors that a graph has captured into its first inputs, and return them."""
    captured = {
        node.target: getattr(module, str(node.target))
        for node in module.graph.nodes
        if node.op == "get_attr"
    }
    start = next(iter(module.graph.nodes))
    for name in captured:
        with module.graph.inserting_before(start):
            given = module.graph.placeholder(str(name).lstrip("_"))
        for node in module.graph.find_nodes(op="get_attr", target=name):
            given.meta.update(node.meta)
            node.replace_all_uses_with(given)
            module.graph.erase_node(node)
        delattr(module, str(name))
    module.recompile()
    return [tensor.detach() for tensor in captured.values()]


def _eager(joint: Joint, reason: str) -> Joint:
    warn_caller(
        f"evidence: log p(x, z) can't be compiled and stays eager: {reason}; compile='off' avoids "
        "the attempt"
    )
    return joint
