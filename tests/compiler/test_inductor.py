"""Functions of any kind are traced."""

from functools import partial

import pytest
import torch

from pyro_vae.compiler.inductor import trace_graph


class Shifted:
    """A sum with a number of its own."""

    def __init__(self, shift):
        self.shift = shift

    def __call__(self, x, y):
        return x + y + self.shift

    def method(self, x, y):
        return self(x, y)


FUNCTIONS = {
    "a function": lambda x, y: x + y + 2,
    "a method": Shifted(2).method,
    "an object": Shifted(2),
    "a partial function": partial(lambda shift, x, y: x + y + shift, 2),
    "any arguments": lambda *tensors: sum(tensors) + 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_graph_computes_the_function(name):
    x = torch.arange(3.0)
    y = torch.ones(3)
    graph = trace_graph(FUNCTIONS[name], [x, y])
    assert torch.equal(graph(2 * x, y), 2 * x + y + 2)
