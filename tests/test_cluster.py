"""A cluster gives the bits of one machine, whatever is killed on the way; what was finished is not done again."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import reduce
from itertools import islice, pairwise
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losscli import checkpoint as checkpoints
from losscli import cluster as clusters
from losscli import get, worker
from losscli import plan as planning
from losscli.checkpoint import Checkpoint, job_of
from losscli.cli import run
from losscli.cluster import cluster
from losscli.engines import Engine, serial
from losscli.errors import ClusterError, DataError, OutputError, UsageError
from losscli.evaluate import evaluate
from losscli.files import create_array, open_source
from losscli.files.row_file import RowFile, RowFiles
from losscli.files.source import Source
from losscli.interrupts import later
from losscli.plan import plan
from losscli.results import Result, Wants
from losscli.sums import Exact

ROWS = 999


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    # 8 rows of 4 classes, 32 of one number: many blocks of few rows, the last one shorter.
    monkeypatch.setattr(planning, "_BLOCK_BYTES", 8 * 32)


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        # Port 0: another cluster on this machine may have the usual one.
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
        ) as made,
    ):
        yield made


@pytest.fixture
def dask(local: Any) -> Iterator[Engine]:
    with cluster(local.scheduler_address, batch=3) as engine:
        yield engine


def stored(folder: Path, **arrays: np.ndarray) -> dict[str, Source]:
    """Arrays as sources in files, which workers open themselves."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: open_source(str(folder / f"{name}.npy")) for name in arrays}


def data_of(name: str, folder: Path) -> dict[str, Source]:
    rng = np.random.default_rng(7)
    if name == "ce":
        return stored(
            folder,
            logits=rng.normal(0, 5, (ROWS, 4)).astype(np.float32),
            labels=rng.integers(0, 4, ROWS),
        )
    if name == "dice":
        return stored(folder, probs=rng.random(ROWS), target=rng.integers(0, 2, ROWS).astype(float))
    return stored(
        folder,
        scores=rng.normal(size=ROWS),
        relevance=rng.integers(0, 5, ROWS).astype(float),
        # Scattered over the file: its rows are written one by one.
        query=rng.integers(0, 90, ROWS),
    )


def whole(name: str, sources: Any, engine: Engine = serial, **more: Any) -> Result:
    """Everything that a run can be asked for, slopes in files."""
    bound = get(name).bind()
    first = bound.loss.reads.names[0]
    rows = name != "dice"
    wants = Wants(grad=first, hess=first, per_sample=rows, top=5 * rows, by_class=name == "ce", accuracy=True)
    made: dict[str, Any] = {}
    with ExitStack() as stack:

        def allocate(output: str, shape: tuple[int, ...]) -> RowFile:
            made[output] = stack.enter_context(create_array(f"{output}.npy", shape))
            return RowFile.of(made[output])

        result = evaluate(bound, sources, wants=wants, engine=engine, allocate=allocate, **more)
        return replace(result, **{output: np.array(array) for output, array in made.items()})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bits(result: Result) -> tuple[Any, ...]:
    arrays = [getattr(result, name) for name in ("gradient", "hessian", "per_sample")]
    return (
        float(result.value).hex(),
        result.weight,
        [None if array is None else array.tobytes() for array in arrays],
        result.top,
        result.by_class,
        (result.rows, result.kept, result.nonfinite, result.accuracy),
    )


@pytest.mark.parametrize("name", ["ce", "dice", "listnet"])
@pytest.mark.parametrize("small", [0, 1 << 16])
def test_a_cluster_gives_the_bits_of_one_machine(
    name: str, small: int, dask: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is worked on travels as a task of its own, or within each.
    monkeypatch.setattr(clusters, "_SMALL", small)
    sources = data_of(name, tmp_path)
    weighted = {} if name == "listnet" else {"sample_weight": np.random.default_rng(1).random(ROWS)}
    expected = whole(name, sources, **weighted)
    assert expected.gradient is not None
    assert expected.gradient.any()
    assert bits(whole(name, sources, dask, **weighted)) == bits(expected)


def test_a_worker_that_is_killed_takes_nothing_with_it(local: Any, dask: Engine, tmp_path: Path) -> None:
    sources = data_of("ce", tmp_path)
    killed = []

    def killing(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for number, made in enumerate(dask(work, items)):
            if number == 2:
                killed.append(next(iter(local.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            yield made

    assert bits(whole("ce", sources, killing)) == bits(whole("ce", sources))
    assert killed


def test_rows_that_kill_their_worker_are_named_and_cost_no_others(local: Any) -> None:
    def deadly(span: tuple[int, int]) -> Exact:
        if span[0] == 40:
            os._exit(1)
        return Exact().plus(float(span[0]))

    spans = [(start, start + 10) for start in range(0, 400, 10)]
    made = []
    with cluster(local.scheduler_address, batch=4) as engine, pytest.raises(DataError, match="rows 40 to 49") as caught:
        made.extend(engine(deadly, spans))
    assert caught.value.code == "worker-killed"
    # All other batches, and of its own the block before it.
    assert sum(made, Exact()).value == sum(span[0] for span in spans) - 40 - 50 - 60 - 70


def test_workers_that_live_on_read_data_anew(local: Any, tmp_path: Path) -> None:
    for seed in (1, 2):
        # In the place of the file, whose map would still show the old numbers.
        np.save(tmp_path / "new.npy", np.random.default_rng(seed).normal(size=ROWS))
        os.replace(tmp_path / "new.npy", tmp_path / "a.npy")  # noqa: PTH105
        sources = {"prediction": open_source(str(tmp_path / "a.npy")), "target": np.zeros(ROWS)}
        with cluster(local.scheduler_address, batch=1) as engine:
            made = evaluate(get("huber").bind(), sources, engine=engine)
        assert made.value == evaluate(get("huber").bind(), sources).value


def test_the_first_fault_in_the_data_is_the_one_that_is_told(dask: Engine) -> None:
    scores = np.zeros(ROWS)
    scores[[500, 700]] = np.nan
    sources = {"prediction": scores, "target": np.zeros(ROWS)}
    with pytest.raises(DataError) as caught:
        evaluate(get("huber").bind(), sources, engine=dask)
    assert caught.value.code == "domain"
    assert caught.value.place is not None
    assert caught.value.place.index == (500,)


def test_a_fault_in_the_program_arrives_as_what_it_is(dask: Engine) -> None:
    def faulty(span: tuple[int, int]) -> Exact:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        list(dask(faulty, [(0, 1), (1, 2)]))


def test_the_stream_of_blocks_is_not_swallowed(dask: Engine) -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, int]]:
        nonlocal taken
        while True:
            taken += 1
            yield taken, taken + 1

    results = dask(lambda _: Exact().plus(1.0), endless())
    assert sum(islice(results, 5), Exact()).value == 15.0
    results.close()  # type: ignore[attr-defined]
    # Two workers, four batches of three for each, and what took the place of those that came back.
    assert taken <= 3 * (8 + 5)


def test_other_releases_are_refused(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "__version__", "0.0.0")
    with pytest.raises(ClusterError, match=r"has losscli .*, not 0\.0\.0") as caught, cluster(local.scheduler_address):
        pass
    assert caught.value.code == "cluster-versions"


def test_processors_that_round_otherwise_are_refused() -> None:
    mine = worker.versions()
    clusters._require_same_versions({"a": mine, "b": mine})
    with pytest.raises(ClusterError, match="b rounds otherwise than a"):
        clusters._require_same_versions({"a": mine, "b": {**mine, "rounding": "0"}})
    with pytest.raises(ClusterError, match="b has losscli none"):
        clusters._require_same_versions({"a": mine, "b": {}})


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(clusters, "_PATIENCE", 0.3)
    stored(Path(), a=np.zeros(3), b=np.ones(3))
    assert run(["compute", "huber", "a.npy", "b.npy", "--scheduler", "tcp://127.0.0.1:9", "--json"]) == 74
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["code"] == "cluster-unreachable"


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler and a worker as processes of their own."""
    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    common = ["--no-dashboard", "--scheduler-file", str(file)]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "2", "--no-nanny", *common]
    processes = [subprocess.Popen(line, cwd=folder, **quiet) for line in (scheduler, worker)]  # type: ignore[call-overload]
    try:
        address = ""
        while not address:
            assert processes[0].poll() is None
            try:
                address = json.loads(file.read_text())["address"]
            except (OSError, ValueError):
                continue
        yield processes[0], address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_scheduler_that_dies_leaves_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = data_of("ce", tmp_path)
    bound, wants = get("ce").bind(), Wants(by_class=True, top=3)
    made = plan(bound.loss.reads, sources, planning.How())
    job = job_of(bound, made, wants, None, {})
    seen = 0

    def dying(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        nonlocal seen
        for result in engine(work, items):
            seen += 1
            yield result
            if seen == 3:
                scheduler.kill()

    with (
        served(tmp_path) as (scheduler, address),
        pytest.raises(ClusterError) as caught,
        Checkpoint("job.ckpt", job) as checkpoint,
        cluster(address, batch=2) as engine,
    ):
        evaluate(bound, made, wants=wants, engine=checkpoint.over(dying))
    assert caught.value.code == "cluster-lost"
    done = []

    def counting(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for span in items:
            done.append(span)
            yield work(span)

    with Checkpoint("job.ckpt", job) as checkpoint:
        resumed = evaluate(bound, made, wants=wants, engine=checkpoint.over(counting))
    assert len(done) <= len(made.spans()) - 2 * 3
    assert bits(resumed) == bits(evaluate(bound, made, wants=wants))
    assert not Path("job.ckpt").exists()


class CutError(Exception):
    """The end of a run, for no reason of its own."""


def cut_after(blocks: int) -> Engine:
    def run(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        yield from map(work, islice(items, blocks))
        raise CutError

    return run


def in_turn(engines: list[Engine]) -> Engine:
    """An engine for each pass over the data."""
    queue = iter(engines)
    return lambda work, items: next(queue)(work, items)


def command(name: str, *more: str) -> list[str]:
    return ["compute", name, *(f"{entry}.npy" for entry in get(name).reads.names), "--json", *more]


@pytest.mark.parametrize("name", ["ce", "dice", "listnet"])
@pytest.mark.parametrize("second", ["serial", "threads"])
def test_a_job_that_was_cut_off_goes_on(
    name: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_of(name, tmp_path)
    outputs = ["--grad", "g.npy", "--top", "0" if name == "dice" else "3"]
    assert run(command(name, *outputs)) == 0
    expected, gradient = capsys.readouterr().out, Path("g.npy").read_bytes()
    Path("g.npy").unlink()
    monkeypatch.setattr(checkpoints, "_EVERY", 0.0)
    # Cut in the first pass over the data, then, where a loss is pooled, in the second.
    for engines in ([cut_after(5)], [serial, cut_after(4)] if name == "dice" else [cut_after(4)]):
        with monkeypatch.context() as patch:
            patch.setattr("losscli.cli.compute.engine_of", lambda _, queue=engines: nullcontext(in_turn(queue)))
            with pytest.raises(CutError):
                run(command(name, *outputs, "--resume", "c", "--debug"))
        assert not Path("g.npy").exists()
        assert Path("g.npy.part").exists()
    assert run(command(name, *outputs, "--resume", "c", "--engine", second)) == 0
    assert capsys.readouterr().out == expected
    assert Path("g.npy").read_bytes() == gradient
    assert not Path("g.npy.part").exists()
    assert not Path("c").exists()


def test_a_checkpoint_of_another_job_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_of("ce", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("losscli.cli.compute.engine_of", lambda _: nullcontext(cut_after(5)))
        assert run(command("ce", "--resume", "c")) == 70
    capsys.readouterr()
    before = Path("c").read_bytes()
    assert before.count(b"\n") == 2

    def told(*more: str) -> str:
        assert run(command("ce", "--resume", "c", *more)) == 2
        answer = json.loads(capsys.readouterr().err)
        assert answer["code"] == "checkpoint-other"
        assert Path("c").read_bytes() == before
        return str(answer["message"])

    assert "label_smoothing was 0.0 and is 0.1" in told("--label-smoothing", "0.1")
    assert "wants.by_class was false and is true" in told("--by-class")
    with monkeypatch.context() as patch:
        patch.setattr(planning, "_BLOCK_BYTES", 8 * 64)
        assert "block_rows was 6 and is 12" in told()
    with monkeypatch.context() as patch:
        patch.setattr(np, "__version__", "1.0")
        assert "numpy was" in told()
    os.utime("labels.npy", ns=(1, 1))
    assert "sources.labels.files was" in told()


@pytest.mark.parametrize("end", [b"", b'{"pass": 0, "ro', b"\x93\xff"])
def test_a_line_cut_short_is_dropped_and_a_damaged_one_told(end: bytes, tmp_path: Path) -> None:
    spans = [(start, start + 1) for start in range(9)]
    job = {"name": "a"}
    with pytest.raises(CutError), Checkpoint("c", job) as checkpoint:
        list(checkpoint.over(cut_after(3))(lambda span: Exact().plus(span[0] / 3), spans))
    whole = Path("c").read_bytes()
    Path("c").write_bytes(whole + end)
    with suppress(CutError), Checkpoint("c", job) as checkpoint:
        assert checkpoint.known[0].rows == ((0, 3),)
        raise CutError
    assert Path("c").read_bytes() == whole
    Path("c").write_bytes(whole + end + b"\n" + whole.splitlines(keepends=True)[1])
    with pytest.raises(DataError) as caught:
        Checkpoint("c", job)
    assert caught.value.code == "checkpoint-damaged"
    assert caught.value.place is not None
    assert caught.value.place.line == 3


def test_two_runs_do_not_share_a_checkpoint() -> None:
    with Checkpoint("c", {}), pytest.raises(UsageError, match="in use"):
        Checkpoint("c", {})


def test_a_checkpoint_that_cannot_be_written() -> None:
    with pytest.raises(OutputError):
        Checkpoint("no/such/folder", {})


def shards(folder: Path, name: str, array: np.ndarray, cuts: Iterable[int]) -> str:
    (folder / name).mkdir(exist_ok=True)
    for old in (folder / name).iterdir():
        old.unlink()
    edges = [0, *sorted(cuts), len(array)]
    for number, (start, stop) in enumerate(pairwise(edges)):
        np.save(folder / name / f"{name}-{number:02}.npy", array[start:stop])
    return str(folder / name)


def test_a_poisoned_shard_is_named(tmp_path: Path) -> None:
    scores = np.zeros(400)
    scores[317] = np.nan
    shards(tmp_path, "p", scores, [100, 200, 300])
    shards(tmp_path, "t", np.zeros(400), [50])
    line = ["compute", "huber", "p/*.npy", "t/", "--engine", "dask", "--batch", "1", "--resume", "c"]
    (tmp_path / "tmp").mkdir()
    made = subprocess.run(
        [sys.executable, "-m", "losscli", *line],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        timeout=60,
    )
    assert (made.returncode, made.stdout) == (3, "")
    assert made.stderr.startswith("losscli: error: p/p-03.npy[17]: prediction must be a finite number, not nan\n")
    # Dask says nothing of its own and leaves nothing behind; the checkpoint is there.
    assert len(made.stderr.splitlines()) == 2
    assert not list((tmp_path / "tmp").iterdir())
    assert json.loads(Path("c").read_text().splitlines()[0])["schema"] == "losscli.checkpoint/1"


def test_an_interrupt_while_a_cluster_is_made_comes_when_it_is() -> None:
    made = []

    def make() -> None:
        with later(signal.SIGINT):
            signal.raise_signal(signal.SIGINT)
            made.append("the cluster")

    with pytest.raises(KeyboardInterrupt):
        make()
    assert made == ["the cluster"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_ends_all_processes_in_silence(tmp_path: Path) -> None:
    stored(tmp_path, a=np.zeros(4_000_000), b=np.ones(4_000_000))
    (tmp_path / "tmp").mkdir()
    line = ["compute", "huber", "a.npy", "b.npy", "--engine", "dask", "--batch", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "losscli", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        # Like a terminal, which interrupts the workers too.
        start_new_session=True,
    )
    while not list((tmp_path / "tmp").iterdir()):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130
    assert not list((tmp_path / "tmp").iterdir())
    # No process of its group is left but, for a moment, those that end by themselves.
    with suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)


def test_slopes_go_to_a_file_for_each_shard(tmp_path: Path, local: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    shards(tmp_path, "p", rng.normal(size=400), [100, 101, 300])
    stored(tmp_path, t=rng.normal(size=400))
    assert run(["compute", "huber", "p/", "t.npy", "--grad", "g.npy", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    line = ["compute", "huber", "p/", "t.npy", "--grad", "slopes/", "--json", "--scheduler", local.scheduler_address]
    assert run(line) == 0
    made = json.loads(capsys.readouterr().out)
    assert made.pop("gradient") == {**expected.pop("gradient"), "file": "slopes/"}
    assert made == expected
    names = sorted(path.name for path in Path("slopes").iterdir())
    assert names == [f"p-0{number}.grad.npy" for number in range(4)]
    parts = [np.load(Path("slopes", name)) for name in names]
    assert [len(part) for part in parts] == [100, 1, 199, 100]
    assert np.concatenate(parts).tobytes() == np.load("g.npy").tobytes()
    # Beside the data, slopes would be read as data the next time.
    assert run([*line[:5], "p/", *line[6:]]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "output-is-input"
    assert run([*line[:4], "--grad=-", *line[6:]]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "output-shared"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_rows_of_several_files(lengths: list[int], data: st.DataObject) -> None:
    shape = (sum(lengths), 2)
    with ExitStack() as stack:
        arrays = [stack.enter_context(create_array(f"{n}.npy", (length, 2))) for n, length in enumerate(lengths)]
        rows = RowFiles([RowFile.of(a) if isinstance(a, np.memmap) else RowFile("none", 0, a.shape) for a in arrays])
        expected = np.zeros(shape)
        for _ in range(3):
            start = data.draw(st.integers(0, shape[0]))
            stop = data.draw(st.integers(start, shape[0]))
            at: Any = slice(start, stop)
            if data.draw(st.booleans()):
                at = np.array(data.draw(st.permutations(range(start, stop))), dtype=np.intp)
            block = np.random.default_rng(start).random((stop - start, 2))
            rows[at] = block
            expected[at] = block
        np.testing.assert_array_equal(np.concatenate(arrays), expected)


def grouped(order: Any, sizes: list[int]) -> Engine:
    """Blocks in any order, added up in any groups, as they are when they come back from workers and checkpoints."""

    def run(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        done = [checkpoints.Done((span,), work(span)) for span in items]
        order.shuffle(done)
        while done:
            size = order.choice(sizes)
            group, done = reduce(add, done[:size]), done[size:]
            yield checkpoints._made(json.loads(json.dumps(checkpoints._plain(group.made))))

    return run


@settings(max_examples=40, deadline=None)
@given(
    order=st.randoms(use_true_random=False),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, ROWS - 1), max_size=5, unique=True),
    name=st.sampled_from(["ce", "dice"]),
)
def test_neither_shards_nor_batches_nor_order_change_a_bit(
    order: Any, sizes: list[int], cuts: list[int], name: str
) -> None:
    sources = data_of(name, Path())
    cut = {key: open_source(shards(Path(), f"s-{key}", source.array, cuts)) for key, source in sources.items()}
    weight = np.random.default_rng(1).random(ROWS) * 10.0 ** np.random.default_rng(2).integers(-9, 9, ROWS)
    expected = whole(name, sources, sample_weight=weight)
    assert bits(whole(name, cut, grouped(order, sizes), sample_weight=weight)) == bits(expected)
