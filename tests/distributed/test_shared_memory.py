"""Sums in shared memory: those of gloo, in the order of the ranks; and processes that are lost."""

import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import combinations, cycle

import pytest
import torch

from pyro_vae.distributed import connections, shared_memory, watch
from pyro_vae.distributed.connections import Connections
from pyro_vae.distributed.shared_memory import SharedRows
from pyro_vae.distributed.watch import ProcessLost
from tests.distributed.worker import several
from tests.training.small import same

BYTES = 4096
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is shared on Linux only"
)


def pairs(number):
    """Connections of so many processes, which are threads here."""
    sockets = [{} for _ in range(number)]
    for one, other in combinations(range(number), 2):
        sockets[one][other], sockets[other][one] = socket.socketpair()
    return [Connections(each) for each in sockets]


def rows_of(number):
    """What each of so many processes has of one memory."""
    memory = torch.zeros(2, number, BYTES, dtype=torch.uint8)
    return [
        SharedRows(memory, rank, connection)
        for rank, connection in enumerate(pairs(number))
    ]


def in_threads(functions):
    """The results of functions that wait for each other."""
    with ThreadPoolExecutor(len(functions)) as pool:
        started = [pool.submit(function) for function in functions]
        return [one.result(timeout=60) for one in started]


def numbers_of(rank, call, length, dtype):
    """What a process adds in a call, of magnitudes whose sum depends on the order."""
    generator = torch.Generator().manual_seed(100 * call + rank)
    numbers = torch.randn(length, generator=generator, dtype=torch.float64)
    return (numbers * 10 ** (rank % 3)).to(dtype)


def in_order(ranks, *call):
    total, *others = (numbers_of(rank, *call) for rank in ranks)
    for numbers in others:
        total = total + numbers
    return total


CALLS = [
    (call, length, dtype)
    for call, (length, dtype) in enumerate(
        [(512, torch.float64), (1, torch.float32), (1000, torch.float32)] * 8
    )
]


def unhurried(add):
    """The function, which begins now early and now late."""
    pauses = cycle([0.003, 0, 0.001, 0])

    def slow(rows):
        time.sleep(next(pauses))
        return add(rows)

    return slow


@pytest.mark.parametrize("few", [1, 9])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_sums_are_in_the_order_of_the_ranks(monkeypatch, number, few):
    """Also where a process still reads when others are in the next call."""
    monkeypatch.setattr(shared_memory, "FEW", few)
    monkeypatch.setattr(shared_memory, "_in_order", unhurried(shared_memory._in_order))

    def process(rows):
        found = []
        for call, length, dtype in CALLS:
            numbers = numbers_of(rows.rank, call, length, dtype)
            parts = [numbers[:1].view(1, 1), numbers[1:]]
            found.append(rows.added(parts, length, dtype))
        return found

    for own in in_threads([partial(process, rows) for rows in rows_of(number)]):
        for sums, call in zip(own, CALLS, strict=True):
            assert torch.equal(sums, in_order(range(number), *call))


def test_the_order_of_these_numbers_matters():
    call = CALLS[0]
    assert not torch.equal(in_order((0, 1, 2), *call), in_order((2, 1, 0), *call))


def test_sums_stay_as_they_are():
    """They are no view of memory that the next calls write in."""
    calls = [(call, 9, torch.float32) for call in range(4)]

    def process(rows):
        return [rows.added([numbers_of(rows.rank, *call)], *call[1:]) for call in calls]

    for own in in_threads([partial(process, rows) for rows in rows_of(2)]):
        for sums, call in zip(own, calls, strict=True):
            assert torch.equal(sums, in_order(range(2), *call))


# What goes wrong


def message_of(function):
    """That of the error of a function."""
    try:
        function()
    except (KeyboardInterrupt, ProcessLost) as error:
        return f"{type(error).__name__} {error}"
    return "nothing"


def test_an_interrupt_of_one_stops_all(monkeypatch):
    third = threading.local()
    monkeypatch.setattr(
        connections, "is_interrupted", lambda: getattr(third, "is_here", False)
    )

    def process(connection, is_third):
        third.is_here = is_third
        return message_of(connection.meet)

    all_of_them = zip(pairs(3), (False, False, True), strict=True)
    found = in_threads([partial(process, *each) for each in all_of_them])
    assert found == ["KeyboardInterrupt "] * 3


@pytest.mark.parametrize("leaves", [0, 2])
def test_a_closed_connection_is_told_to_all_who_wait(leaves):
    """Whoever else has come."""
    group = pairs(4)
    group[leaves].close()
    staying = [one for rank, one in enumerate(group) if rank != leaves]
    for message in in_threads([partial(message_of, one.meet) for one in staying]):
        assert message.startswith("ProcessLost another process has ended")
        assert "has closed its connection). Start all processes again" in message
    assert f"process {leaves} has" in message_of_alone(leaves)


def message_of_alone(leaves):
    """What one of two says whose other, of this number, has left."""
    here, there = socket.socketpair()
    there.close()
    return message_of(Connections({leaves: here}).meet)


def test_whoever_is_told_closes_his_connections(monkeypatch):
    """So that those hear of it who wait for him."""
    monkeypatch.setattr(watch, "EVERY", 0.01)
    monkeypatch.setattr(connections, "TIMEOUT", timedelta(seconds=0.5))
    first, _second, third = pairs(3)
    first.sockets[1].close()
    assert "process 1 has closed" in message_of(first.meet)
    assert "process 0 has closed" in message_of(third.meet)


def test_a_word_for_the_next_meeting_waits():
    """A process that is ahead has sent it, while this one waits for another."""
    first, second, third = pairs(3)
    second.sockets[0].send(b"\0\1")
    third.sockets[0].send(b"\0")
    first.meet()
    third.sockets[0].send(b"\0")
    assert message_of(first.meet) == "KeyboardInterrupt "


def test_a_process_that_is_alive_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.01)
    monkeypatch.setattr(connections, "TIMEOUT", timedelta(seconds=0.05))
    first, _ = pairs(2)
    assert "no answer in 0:00:00.05" in message_of(first.meet)


# In processes


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    before = set(os.listdir("/dev/shm"))
    found = several(tmp_path_factory.mktemp("two"), "sums", "sums_without_memory")
    return found, set(os.listdir("/dev/shm")) - before


@pytest.mark.slow
def test_sums_are_those_of_gloo_to_the_last_bit(two):
    """a + b = b + a; of a weighted loss, of several dtypes, and of more numbers than before."""
    for found in two[0]["sums"]:
        assert found["in_memory"] == [True] * 4
        for ours, theirs in found["pairs"]:
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_training_is_that_with_gloo_to_the_last_bit(two):
    for found in two[0]["sums"]:
        by_memory, by_gloo = found["runs"]
        assert same(by_memory["weights"], by_gloo["weights"])
        assert by_memory["history"] == by_gloo["history"]


@pytest.mark.slow
def test_memory_ends_with_its_group_and_nothing_is_left(two):
    found, left = two
    assert [each["groups_after"] for each in found["sums"]] == [0, 0]
    assert [each["files_after"] for each in found["sums"]] == [[], []]
    assert not left


@pytest.mark.slow
def test_without_memory_gloo_adds(two):
    """No room in the first process, no connection of the second, another machine."""
    for found in two[0]["sums_without_memory"]:
        for name, (in_memory, ours, theirs) in found.items():
            assert in_memory == (name == "an_older_python"), name
            assert torch.equal(ours, theirs), name


@pytest.mark.slow
def test_three_processes_add_in_the_order_of_their_ranks(tmp_path):
    for found in several(tmp_path, "sums", processes=3)["sums"]:
        assert found["in_memory"] == [True] * 4
        for ours, expected in found["ordered"]:
            assert torch.equal(ours, expected)


@pytest.mark.slow
def test_a_process_killed_between_two_sums_is_missed_and_leaves_nothing(tmp_path):
    before = set(os.listdir("/dev/shm"))
    first, _ = several(tmp_path, "one_is_killed_after_a_sum")[
        "one_is_killed_after_a_sum"
    ]
    assert first["in_memory"]
    assert first["message"].startswith("another process has ended")
    assert "(process 1 has closed its connection)" in first["message"]
    assert set(os.listdir("/dev/shm")) <= before
