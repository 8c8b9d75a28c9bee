"""What every test may count on: no window opens, no parameter outlives a test, no GPU is needed.

Nothing here imports torch at the top: `tests/analysis/test_bridge.py` also runs where there is none.
"""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tensors are small: more threads only wait


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a `gpu` test where no CUDA device answers."""
    if item.get_closest_marker("gpu"):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


def _emptied() -> list[str]:
    """Clear Pyro's global parameter store, if Pyro was imported, and name what was in it."""
    pyro = sys.modules.get("pyro")
    if pyro is None:
        return []
    store = pyro.get_param_store()
    names = sorted(store.keys())
    store.clear()
    return names


@pytest.fixture(autouse=True)
def _param_store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start from an empty parameter store, and fail the test that leaves something in it."""
    _emptied()
    yield
    left = _emptied()
    if left and not request.node.get_closest_marker("param_store"):
        pytest.fail(f"left in Pyro's global parameter store: {', '.join(left)}", pytrace=False)
