"""Training steps as one graph of tensor operations, without the Python that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.fx import GraphModule

from pyro_vae.compiler.decompositions import LINEAR
from pyro_vae.compiler.graph_key import graph_key
from pyro_vae.compiler.inductor import trace_graph
from pyro_vae.compiler.saved_graphs import Run, find
from pyro_vae.networks.evaluation_mode import unvalidated
from pyro_vae.training.steps_of_tensors import Slot, StepsOfTensors, changing_numbers
from pyro_vae.training.train_step import ScheduleValues, State


@dataclass(frozen=True)
class Graph:
    """One step or several as a graph.

    Attributes:
        module: from tensors to the metrics (steps, 4): loss, rate, distortion, gradient norm. Where
            the optimizer is not in the graph, to (steps, 3), without the norm, and the gradients of
            `reached`, which are not clipped yet. The rest changes in place. None where the graph
            was compiled before.
        slots: the tensors that the graph takes before the numbers and the stack of batches.
        reached: the weights that have a gradient.
        used: the tensors that the module takes, by their indices among those of the steps.
        key: the name under which the graph is kept, where that can be said.
        run: the compiled graph, where it was found.
    """

    module: GraphModule | None
    slots: list[Slot]
    reached: list[nn.Parameter]
    used: list[int]
    key: str | None
    run: Run | None


class StepsToTrace:
    """A step for each batch of a stack, or its loss and gradient, to be made one graph.

    Shapes, modes and options are constants in it; learning rates and step counts are not. Nothing
    is drawn or changed.

    Arguments:
        state: the state whose tensors the graph takes.
        stack: batches, (steps, rows, *data_shape); one batch without the optimizer.
        options: of the compiler: a graph that was compiled with them before is looked for, by what
            the steps compute in a run on copies.
        with_optimizer: whether clipping, Adam and the moving average are in the graph.
        beta: β as a constant; None takes it as a number that changes.
        share: the factor of the loss whose gradient is taken.

    Attributes:
        key: the name under which the graph is kept; None where it can't be said.
        saved: the graph that was found.
    """

    def __init__(
        self,
        state: State,
        stack: Tensor,
        options: Mapping[str, Any],
        *,
        with_optimizer: bool,
        beta: float | None = None,
        share: float = 1.0,
    ) -> None:
        self.function = StepsOfTensors(state, with_optimizer, beta, share)
        slots = self.function.slots.values()
        groups = state.optimizer.param_groups if with_optimizer else []
        schedule = [ScheduleValues.of(state)] * len(stack)
        numbers = changing_numbers(schedule, groups, 1, stack.device)
        self.given = [*(container[key] for container, key in slots), numbers, stack]
        with unvalidated():
            self.key = graph_key(self.function, self.given, options)
        self.saved = find(self.key)

    def graph(self) -> Graph:
        """The graph that was found, or that of a tracer.

        Raises:
            Exception: of many types, where the Python looks at values, which are not there while
                tracing.
        """
        if self.saved is not None:
            return self._of(None, self.saved.used, self.saved.run)
        on_cpu = self.given[-1].device.type == "cpu"
        with unvalidated():
            module = trace_graph(self.function, self.given, LINEAR if on_cpu else None)
        return self._of(module, _drop_unused(module, len(self.given) - 2), None)

    def _of(
        self, module: GraphModule | None, used: list[int], run: Run | None
    ) -> Graph:
        slots = list(self.function.slots.values())
        reached = [self.function.weights[name] for name in self.function.reached]
        return Graph(
            module, [slots[index] for index in used], reached, used, self.key, run
        )


def _drop_unused(module: GraphModule, count: int) -> list[int]:
    """Remove the unused ones of the first `count` inputs; the indices of those that remain.

    Constants that nothing uses go too: the compiler would make inputs of them.
    """
    module.graph.eliminate_dead_code()
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node in inputs[:count]:
        if not node.users:
            module.graph.erase_node(node)
    names = {node.target for node in module.graph.find_nodes(op="get_attr")}
    for name in {*module._buffers, *module._parameters} - names:
        delattr(module, name)
    module.recompile()
    return [index for index, node in enumerate(inputs[:count]) if node.users]
