"""Signs of life in a store, and waiting for those that give none."""

import time

import pytest
import torch.distributed as dist

from pyro_vae.distributed import watch
from pyro_vae.distributed.watch import ProcessLost, giving_signs, patience, wait_for


class Work:
    """An operation that ends after so many looks, or never, or by an error."""

    def __init__(self, looks=10**9, error=None):
        self.looks, self.error = looks, error

    def is_completed(self):
        return self.looks <= 0

    def wait(self, timeout=None):
        if not self.is_completed():
            time.sleep(timeout.total_seconds())
            self.looks -= 1
            raise RuntimeError("Operation timed out!")
        if self.error:
            raise RuntimeError(self.error)


@pytest.fixture
def store(monkeypatch):
    """A store in which process 1 gives signs of life, and this is process 0 of 3."""
    monkeypatch.setattr(watch, "EVERY", 0.01)
    monkeypatch.setattr(watch, "_leave_running", lambda: None)
    shared = dist.HashStore()
    other = watch.SignsOfLife(shared, 1, 3)
    with giving_signs(shared, 0, 3), patience(0.3):
        yield shared
    other.end()


def test_a_process_without_a_sign_is_not_judged(store):
    """It may not have come so far; torch's own timeout is for that."""
    work = Work(looks=60)
    wait_for(work)
    assert work.is_completed()


def test_a_process_that_gives_no_more_signs_is_named(store):
    store.set("sign of life 2", "7")
    with pytest.raises(
        ProcessLost, match=r"^process 2 has given no sign of life for \d+ s"
    ):
        wait_for(Work())
    assert int(store.get("sign of life 0")) > 3


def test_an_error_of_torch_is_told(store):
    text = "[gloo/pair.cc:5] Connection reset by peer. This is typically caused by hanging."
    with pytest.raises(
        ProcessLost, match=r"says why \(Connection reset by peer\)\. Start"
    ):
        wait_for(Work(looks=1, error=text))


def test_nobody_looks_outside_of_a_group(monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.01)
    work = Work(looks=2)
    wait_for(work)
    assert work.is_completed()
