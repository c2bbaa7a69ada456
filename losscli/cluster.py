"""The engine of a Dask cluster: workers on this machine by default, or those of a scheduler that is running already.

Blocks travel in batches, each one task that returns one sum. What is worked on travels once per worker's memory, as
names and paths where it has them; workers read the data and write the slopes themselves. Sums are exact, so batches
are handed on as they are finished, and neither their size nor their order nor a second try changes a bit.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from losscli.engines import Engine, Item, Made
from losscli.errors import ClusterError, DataError, LosscliError, UsageError
from losscli.interrupts import deaf, later
from losscli.worker import add_up, pack, short, versions

if TYPE_CHECKING:
    from distributed import Client, Future

# Blocks of 1 MB in one task: tens of milliseconds of work, where a task costs the scheduler about one.
BATCH = 64
# Tasks per worker thread in flight: enough that none waits for the next, few enough that memory stays flat.
_AHEAD = 4
# Another try for a task that failed, beside those that the scheduler gives to tasks whose worker died.
_RETRIES = 2
# Seconds until a scheduler that does not answer, or that has no worker, is given up.
_PATIENCE = 30.0
# Below this many bytes, what is worked on travels within each task, and nothing is lost with a worker.
_SMALL = 1 << 16

_SETTINGS = {
    "distributed.scheduler.allowed-failures": _RETRIES,
    # Seconds until a scheduler that answered before is taken for gone.
    "distributed.comm.timeouts.connect": 10,
    # Dask has workers give freed memory back at once: blocks of temporaries are four times as fast when it is kept.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "MALLOC_MMAP_THRESHOLD_": 32 << 20,
        "MALLOC_TRIM_THRESHOLD_": 64 << 20,
    },
}


@contextmanager
def cluster(address: str | None = None, *, workers: int = 2, batch: int = BATCH) -> Iterator[Engine]:
    """The engine of the scheduler at an address, or of ``workers`` processes that are started here and ended again.

    Raises ClusterError where the scheduler does not answer, has no workers, or has others than this program's.
    """
    try:
        import dask
        from distributed import Client
    except ImportError:
        hint = "pip install 'losscli[dask]'"
        raise UsageError("extra-missing", "--engine dask needs dask[distributed]", hint=hint) from None
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        stack.enter_context(_hushed())
        scheduler: Any = address or stack.enter_context(_local())
        try:
            client = stack.enter_context(Client(scheduler, timeout=_PATIENCE, set_as_default=False))
            if address is None:
                # Only now, when an interrupt finds something that can be closed.
                scheduler.scale(workers)
            client.wait_for_workers(1 if address else workers, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise ClusterError("cluster-unreachable", f"no cluster at {address}: {error}") from None
        _require_same_versions(client.run(_probe()))
        yield partial(_run, client, batch)


@contextmanager
def _local() -> Iterator[Any]:
    """A cluster of processes on this machine that leaves nothing behind; it has none yet."""
    import dask
    from distributed import LocalCluster

    with ExitStack() as stack:
        with later(signal.SIGINT):
            # A folder is made before anybody knows that it is to be removed.
            room = tempfile.TemporaryDirectory(prefix="losscli-", ignore_cleanup_errors=True)
            folder = stack.enter_context(room)
        stack.enter_context(dask.config.set({"temporary-directory": folder}))
        with _deaf():
            made = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                # Without one, the status pages of a scheduler still take a port, on every network.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                # Mapped files count as a worker's memory, and it would be ended for reading much.
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(made)
        yield made


@contextmanager
def _deaf() -> Iterator[None]:
    """Threads that begin within it, and the processes that they start, leave Ctrl-C to this one, which gets it later.

    A terminal sends it to all of them, and workers would tell about it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Whichever thread starts this helper of multiprocessing hears again afterwards.
    resource_tracker.ensure_running()
    with deaf(signal.SIGINT):
        yield


@contextmanager
def _hushed() -> Iterator[None]:
    """No words of Dask's on standard error: what goes wrong is told by losscli, once."""
    import distributed  # noqa: F401 - it sets the levels of its loggers where it is imported

    loggers = [logging.getLogger(name) for name in ("tornado", *logging.root.manager.loggerDict)]
    ours = [entry for entry in loggers if entry.name.partition(".")[0] in ("distributed", "tornado", "asyncio")]
    before = [entry.disabled for entry in ours]
    for entry in ours:
        entry.disabled = True
    try:
        yield
    finally:
        for entry, state in zip(ours, before, strict=True):
            entry.disabled = state


def _probe() -> Callable[[], dict[str, str]]:
    """A function that travels by value, so that a worker without losscli can tell that it has none."""

    def probe() -> dict[str, str]:
        try:
            from losscli.worker import versions
        except ImportError:
            return {}
        return versions()

    return probe


def _require_same_versions(workers: Mapping[str, Mapping[str, str]]) -> None:
    mine = versions()
    # The machine that asks computes nothing: its processor need not be theirs.
    mine["rounding"] = next(iter(workers.values())).get("rounding", "")
    for address, theirs in workers.items():
        for name, wanted in mine.items():
            found = theirs.get(name, "none")
            if found == wanted:
                continue
            if name == "rounding":
                message = f"the worker {address} rounds otherwise than {next(iter(workers))}: their processors differ"
                raise ClusterError("cluster-versions", message, hint="start all with the same NPY_DISABLE_CPU_FEATURES")
            raise ClusterError("cluster-versions", f"the worker {address} has {name} {found}, not {wanted}")


def _run(client: Client, size: int, work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Yield the sum of work(item) over each batch of items, as they are finished."""
    iterator = iter(items)
    flight = _Flight(client, work, iter(lambda: tuple(islice(iterator, size)), ()))
    try:
        yield from flight.sums()
        yield from flight.one_by_one()
    finally:
        flight.cancel()


class _Flight:
    """The tasks of one map that are on their way, and what became of those that did not end well.

    After a failure nothing more is sent and what is on its way is waited for, so that what it gives is kept and the
    failure that is told is the first one in the data, whoever found one first.
    """

    def __init__(self, client: Client, work: Any, batches: Iterator[tuple[Any, ...]]) -> None:
        from distributed import as_completed

        packed = pack(work)
        self._client = client
        self._work = work
        # As a task of its own: the scheduler makes it again where a worker that holds it dies.
        self._packed = packed if len(packed) <= _SMALL else client.submit(bytes, packed, pure=False)
        self._batches = batches
        self._flying: dict[Future, tuple[Any, ...]] = {}
        self._finished = as_completed(loop=client.loop)
        self._failures: list[tuple[tuple[Any, ...], LosscliError]] = []
        self._suspects: list[tuple[Any, ...]] = []
        self._room = _Room(client)

    def sums(self) -> Iterator[Any]:
        """Yield what batches make, and raise the first failure once all is down."""
        self._fill()
        # All that are finished at once, and as many in their place: a message for each would cost what a task does.
        for futures in self._finished.batches():
            yield from self._landed({future: self._flying.pop(future) for future in futures})
            if not self._failures:
                self._fill()
        self._tell()

    def one_by_one(self) -> Iterator[Any]:
        """Yield what the items make whose worker died: a death counts against all tasks that the worker was given."""
        suspects, self._suspects = sorted(self._suspects), []
        for batch in suspects:
            told = len(self._failures)
            for item in batch:
                yield from self._landed(dict.fromkeys(self._send([(item,)]), (item,)))
                self._failures += [(killers, _killer(self._work, killers[0])) for killers in self._suspects]
                self._suspects.clear()
                if len(self._failures) > told:
                    break
        self._tell()

    def _tell(self) -> None:
        """Raise the first failure in the data."""
        if self._failures:
            raise min(self._failures, key=lambda failure: failure[0])[1]

    def cancel(self) -> None:
        """Call back what is still on its way."""
        with suppress(Exception):
            self._client.cancel(list(self._flying), force=True)

    def _fill(self) -> None:
        with _reaching():
            room = self._room() - len(self._flying)
        batches = list(islice(self._batches, max(0, room)))
        futures = self._send(batches)
        self._flying.update(zip(futures, batches, strict=True))
        self._finished.update(futures)

    def _send(self, batches: list[tuple[Any, ...]]) -> list[Future]:
        if not batches:
            return []
        tasks = [short(batch) for batch in batches]
        more = {"packed": self._packed, "job": self._client.id}
        with _reaching():
            return list(self._client.map(add_up, tasks, **more, pure=False, retries=_RETRIES))

    def _landed(self, tasks: Mapping[Future, tuple[Any, ...]]) -> Iterator[Any]:
        """What tasks made; those that failed are noted."""
        from distributed import KilledWorker

        made: dict[Future, Any] = {}
        whole = [future for future in tasks if future.status == "finished"]
        # One may be lost with its worker in this very moment, and be found again, or not, below.
        with _reaching(), suppress(KilledWorker):
            made = dict(zip(whole, self._client.gather(whole), strict=True))
        for future, batch in tasks.items():
            try:
                result = made[future] if future in made else _result(future)
            except KilledWorker:
                self._suspects.append(batch)
                continue
            except LosscliError as error:
                self._failures.append((() if isinstance(error, ClusterError) else batch, error))
                continue
            if isinstance(result, LosscliError):
                self._failures.append((batch, result))
            else:
                yield result


@contextmanager
def _reaching() -> Iterator[None]:
    """Within it, what shows that the scheduler is gone becomes a ClusterError."""
    from concurrent.futures import CancelledError

    try:
        yield
    except (CancelledError, OSError):
        # Workers hand on what they cannot read as DataError: this is the line to the scheduler.
        raise ClusterError("cluster-lost", "the scheduler is gone, or cannot be reached") from None


def _result(future: Future) -> Any:
    """What a task made; the LosscliError that it found in its stead."""
    with _reaching():
        made = future.result()
    if isinstance(made, LosscliError):
        raise made
    return made


class _Room:
    """How many tasks may be in flight; asked for again now and then, as clusters grow and shrink."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until = 0.0
        self._room = 1

    def __call__(self) -> int:
        if time.monotonic() >= self._until:
            self._room = max(1, _AHEAD * sum(self._client.nthreads().values()))
            self._until = time.monotonic() + 5.0
        return self._room


def _killer(work: Any, item: Any) -> LosscliError:
    """The error for a block that ends every worker which takes it."""
    place = work.place(item) if hasattr(work, "place") else None
    rows = f"rows {item[0]} to {item[1] - 1}" if isinstance(item, tuple) else f"{item}"
    return DataError("worker-killed", f"{rows}: every worker that took them died", place=place)
