"""The claim on a folder: one owner at a time, dead owners are replaced, nothing is left behind."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_vae.experiment import claim
from pyro_vae.experiment.claim import claimed

WAITS = "import sys; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process, which runs until the end of the test."""
    command = [sys.executable, "-c", WAITS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def write_claim(path: Path, **changes: object) -> None:
    """The claim of this process, changed."""
    owner = json.loads(claim._this_process()) | changes
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(owner))


def test_the_claim_names_its_owner_and_ends_with_the_block(tmp_path: Path) -> None:
    with claimed(tmp_path / "run") as note:
        owner = json.loads((tmp_path / "run" / "run.lock").read_text())
    assert (owner["pid"], note) == (os.getpid(), "")
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_an_error_too(tmp_path: Path) -> None:
    def interrupted() -> None:
        with claimed(tmp_path / "deep" / "er" / "run"):
            assert (tmp_path / "deep" / "er").is_dir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_folders_in_which_something_came_to_be_stay(tmp_path: Path) -> None:
    with claimed(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "metrics.json").touch()
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == [
        "metrics.json"
    ]


def test_a_second_run_is_refused(
    tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    path = tmp_path / "run" / "run.lock"
    write_claim(path, pid=other.pid, started=claim._started(other.pid))
    before = path.read_text()
    with (
        pytest.raises(
            ValueError,
            match=rf"run: another run writes to it \(process {other.pid} on .*\); choose another "
            rf"folder, .* delete .*run/run\.lock",
        ),
        claimed(tmp_path / "run"),
    ):
        pass
    assert path.read_text() == before


def test_a_claim_of_the_same_process_is_refused(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "run"),
        pytest.raises(ValueError, match="another run writes"),
        claimed(tmp_path / "run"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_has_one_claim_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "latest").symlink_to("run")
    with (
        claimed(tmp_path / "latest"),
        pytest.raises(ValueError, match="another run writes"),
        claimed(tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize("how", ["ended", "not reaped", "number used again"])
def test_a_dead_owner_is_replaced_and_that_is_said(
    how: str, tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    started = claim._started(other.pid)
    if started is None and how != "ended":
        pytest.skip("needs /proc")
    if how == "number used again":
        started = (started or 0) - 1
    elif how == "ended":
        other.kill()
        other.wait()
    else:
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    write_claim(tmp_path / "run" / "run.lock", pid=other.pid, started=started)
    with claimed(tmp_path / "run") as note:
        assert (
            json.loads((tmp_path / "run" / "run.lock").read_text())["pid"]
            == os.getpid()
        )
    assert f"run: the run of process {other.pid} on " in note
    assert "was killed; its claim is taken over" in note
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}], ids=str
)
def test_an_owner_that_cannot_be_seen_is_not_replaced(
    changes: dict[str, str], tmp_path: Path
) -> None:
    """Of another machine, or of another container, the numbers of processes say nothing."""
    write_claim(tmp_path / "run" / "run.lock", pid=2**22, started=1, **changes)
    with (
        pytest.raises(ValueError, match="another run writes"),
        claimed(tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": 3}'])
def test_a_claim_that_is_not_written_yet_is_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").write_text(text)
    with (
        pytest.raises(ValueError, match="it has just started"),
        claimed(tmp_path / "run"),
    ):
        pass
    assert (tmp_path / "run" / "run.lock").read_text() == text


def test_a_claim_that_was_killed_before_its_text_was_written_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run" / "run.lock"
    path.parent.mkdir()
    path.touch()
    os.utime(path, (0, 0))
    with claimed(tmp_path / "run") as note:
        assert "run: the run of a process that was just starting was killed" in note


def test_drafts_of_a_dead_owner_are_removed(tmp_path: Path) -> None:
    write_claim(tmp_path / "run" / "run.lock", pid=2**22, started=1)
    (tmp_path / "run" / ".draft-1" / "draft").mkdir(parents=True)
    with claimed(tmp_path / "run"):
        names = [path.name for path in (tmp_path / "run").iterdir()]
    assert names == ["run.lock"]


def test_a_claim_of_others_is_not_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "run" / "run.lock"
    with claimed(tmp_path / "run"):
        path.write_text("of another run, after somebody had deleted this one's")
    assert path.exists()


@pytest.mark.parametrize("left", [False, True], ids=["free", "a dead owner's"])
def test_of_many_at_once_one_gets_it(left: bool, tmp_path: Path) -> None:
    """50 rounds of 8 threads, each of which asks once: one of them, and no more, is inside."""
    for _ in range(50):
        if left:
            write_claim(tmp_path / "run" / "run.lock", pid=2**22, started=1)
        inside: list[str] = []
        start = threading.Barrier(8)
        end = threading.Barrier(8)

        def ask(
            inside: list[str], start: threading.Barrier, end: threading.Barrier
        ) -> None:
            start.wait()
            try:
                with claimed(tmp_path / "run") as note:
                    inside.append(note)
                    end.wait()
            except ValueError:
                end.wait()

        threads = [
            threading.Thread(target=ask, args=(inside, start, end)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(inside) == 1
        # one that comes after the dead owner's claim was removed knows nothing of it
        assert left or inside == [""]
        assert list(tmp_path.iterdir()) == []
