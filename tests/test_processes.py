"""Forked workers: the same bits, the same errors, and nothing of them left however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import parameters, rng_of

from losscli import plan as planning
from losscli import processes as forked
from losscli.checkpoint import Checkpoint, job_of
from losscli.errors import DataError
from losscli.evaluate import evaluate, plan_of
from losscli.loss import Loss, get
from losscli.processes import processes
from losscli.results import Wants
from losscli.sums import Exact
from losscli.verifier.points import draw

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks are enough for workers, and a block has a few rows."""
    monkeypatch.setattr(forked, "_LEAST", 2)
    monkeypatch.setattr(planning, "_BLOCK_BYTES", 200)


@pytest.fixture(autouse=True)
def none_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every worker is gone, and has been asked how it ended; other tests have children, too."""
    made, fork = [], os.fork

    def noted() -> int:
        made.append(fork())
        return made[-1]

    monkeypatch.setattr(os, "fork", noted)
    yield
    for child in made:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


@dataclass(frozen=True)
class Own:
    """Work of a test's own that may be done by a copy."""

    work: Callable[[int], Exact]
    forkable: bool = True

    def __call__(self, item: int) -> Exact:
        return self.work(item)


def total(work: Callable[[int], Any], count: int = 50, workers: int = 3) -> float:
    return sum(processes(workers)(Own(lambda item: Exact().plus(float(work(item)))), range(count)), Exact()).value


def test_a_loss_has_the_bits_of_one_process(entry: Loss) -> None:
    data = draw(entry.reads, rng_of(entry.name), entry.reads.default_link, rows=60)
    bound = entry.bind(**parameters(entry, 1))
    one, many = evaluate(bound, data), evaluate(bound, data, engine=processes(2))
    assert np.asarray(many.value).tobytes() == np.asarray(one.value).tobytes()
    assert (many.rows, many.kept, many.nonfinite, many.accuracy) == (one.rows, one.kept, one.nonfinite, one.accuracy)


def test_classes_and_largest_losses_are_those_of_one_process() -> None:
    rng = np.random.default_rng(0)
    data = {"logits": rng.normal(size=(400, 5)), "labels": rng.integers(0, 5, 400)}
    bound, wants = get("ce").bind(), Wants(by_class=True, top=7)
    one, many = (evaluate(bound, data, wants=wants, **how) for how in ({}, {"engine": processes(3)}))  # type: ignore[arg-type]
    assert (many.by_class, many.top, many.value) == (one.by_class, one.top, one.value)


def test_slopes_go_to_a_file_by_several_hands(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = {"logits": rng.normal(size=(400, 5)), "labels": rng.integers(0, 5, 400)}
    mapped = np.lib.format.open_memmap(tmp_path / "g.npy", "w+", np.float64, (400, 5))
    bound, wants = get("ce").bind(), Wants(grad="logits")
    many = evaluate(bound, data, wants=wants, engine=processes(2), allocate=lambda *_: mapped)
    one = evaluate(bound, data, wants=wants)
    assert np.load(tmp_path / "g.npy").tobytes() == np.asarray(one.gradient).tobytes()
    assert many.value == one.value


def test_slopes_for_memory_are_no_work_for_a_copy_whose_memory_is_its_own() -> None:
    rng = np.random.default_rng(1)
    data = {"logits": rng.normal(size=(400, 5)), "labels": rng.integers(0, 5, 400)}
    made = evaluate(get("ce").bind(), data, wants=Wants(grad="logits"), engine=processes(2))
    assert np.abs(np.asarray(made.gradient)).min() > 0.0


def test_each_block_is_done_once_by_one_of_several() -> None:
    sums = list(processes(3)(Own(lambda item: Exact().plus(2.0**item)), range(50)))
    assert sum(sums, Exact()).value == 2.0**50 - 1
    who = {part.value for part in processes(3)(Own(lambda _: Exact().plus(float(os.getpid()))), range(1))}
    assert who == {float(os.getpid())}, "a single block is not worth a copy"
    assert total(lambda _: os.getpid() == here, workers=3) == 0.0


here = os.getpid()


def test_the_error_is_that_of_the_first_block_that_has_one() -> None:
    def work(item: int) -> float:
        if item in (17, 30, 41):
            time.sleep(0.05 * (item == 17))
            raise DataError("domain", f"block {item}", hint="none")
        return 1.0

    with pytest.raises(DataError, match="block 17") as caught:
        total(work)
    assert (caught.value.code, caught.value.hint) == ("domain", "none")


def test_wrong_data_are_named_as_by_one_process() -> None:
    data = {"prediction": np.zeros(500), "target": np.ones(500)}
    data["target"][[333, 420]] = np.nan
    with pytest.raises(DataError) as caught:
        evaluate(get("mse").bind(), data, engine=processes(2))
    assert str(caught.value.place) == "target[333]"


def test_a_bug_comes_with_where_it_was() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        total(lambda item: 1 / (item - 20))
    assert "test_processes.py" in caught.value.__notes__[0]


def test_a_worker_that_is_killed_is_told_of() -> None:
    def work(item: int) -> float:
        if item == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    with pytest.raises(DataError, match="a worker process was ended by signal 9") as caught:
        total(work)
    assert caught.value.code == "worker-killed"


@pytest.mark.parametrize("granted", [0, 1])
def test_a_system_that_grants_fewer_copies_still_has_an_answer(granted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forks, fork = iter(range(granted)), os.fork

    def limited() -> int:
        if next(forks, None) is None:
            raise BlockingIOError("no more processes")
        return fork()

    monkeypatch.setattr(os, "fork", limited)
    assert total(lambda item: item) == sum(range(50))


def test_a_parent_that_was_told_to_ignore_its_children_has_its_answer() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert total(lambda item: item) == sum(range(50))
        with pytest.raises(DataError, match="a worker process was lost"):
            total(lambda item: os.kill(os.getpid(), signal.SIGKILL) if item == 20 else 1.0)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_an_interrupt_while_a_copy_is_made_is_the_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would unwind the copy, too, through everything that the parent does at its end."""
    fork = os.fork

    def interrupted() -> int:
        pid = fork()
        os.kill(os.getpid(), signal.SIGINT)
        return pid

    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt):
        total(lambda item: item)
    assert os.getpid() == here


def test_whoever_stops_listening_ends_the_workers() -> None:
    def work(item: int) -> Exact:
        time.sleep(0.01 * item)
        return Exact()

    results = processes(2)(Own(work), range(1000))
    next(iter(results))
    results.close()  # type: ignore[attr-defined]


def test_a_job_that_was_cut_off_goes_on_with_processes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    data = {"logits": rng.normal(size=(400, 5)), "labels": rng.integers(0, 5, 400)}
    bound = get("ce").bind()
    made = plan_of(bound, data)
    job, done = job_of(bound, made, Wants(), None, {}), []

    class CutError(Exception):
        """The end of a run."""

    def cut(work: Callable[[Any], Any], items: Any) -> Iterator[Any]:
        for result in processes(2)(work, items):
            done.append(result)
            yield result
            if len(done) == 3:
                raise CutError

    with pytest.raises(CutError), Checkpoint(tmp_path / "c", job) as checkpoint:
        evaluate(bound, made, engine=checkpoint.over(cut))
    with Checkpoint(tmp_path / "c", job) as checkpoint:
        assert sum(len(known.rows) for known in checkpoint.known.values()) > 0
        resumed = evaluate(bound, made, engine=checkpoint.over(processes(2)))
    assert resumed.value == evaluate(bound, data).value


SLOW = """
import os, sys, time
from losscli import processes as forked
from losscli.sums import Exact
forked._LEAST = 2
class Slow:
    forkable = True
    def __call__(self, item):
        os.write(1, b"on\\n")
        time.sleep(0.2)
        return Exact().plus(1.0)
for part in forked.processes(2)(Slow(), range(10000)):
    pass
"""


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert parent.stdout is not None
    while parent.stdout.readline() != "on\n":
        assert parent.poll() is None
    parent.send_signal(number)
    errors = parent.communicate(timeout=30)[1]
    assert parent.returncode != 0
    assert errors.count("Traceback") == (number == signal.SIGINT), "the parent's own interrupt, and none of a worker's"
    # A batch of 64 blocks would take twice as long.
    until = time.monotonic() + 6
    while not group_is_gone(parent.pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_command_line_has_them(tmp_path: Path) -> None:
    """Two files that are large enough for copies: the value is that of one process."""
    rng = np.random.default_rng(3)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", rng.normal(size=3_000_000).astype(np.float32))
    said = [
        subprocess.run(
            [sys.executable, "-c", f"from losscli import plan, processes; plan._BLOCK_BYTES >>= 6; {run}", *words],
            capture_output=True,
            check=True,
            cwd=tmp_path,
        ).stdout
        for words in (["--engine", "serial"], ["--engine", "processes", "--threads", "2"], [])
        for run in ["import sys; from losscli.cli import run; run(['compute', 'huber', 'a.npy', 'b.npy', '--json',"
                    " '--grad', 'g.npy', *sys.argv[1:]])"]
    ]  # fmt: skip
    assert said[0] == said[1] == said[2]
