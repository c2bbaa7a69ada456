"""Functions outside NumPy: those of PyTorch and JAX, whose autodiff is the claim, and programs that speak JSON."""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from losscli.documents import strict
from losscli.errors import DataError, UsageError
from losscli.verifier.own.functions import NUMPY, Claimant, Claims, Framework, Inputs, Values, by_name, floats
from losscli.verifier.own.target import Target

# What backward passes are begun with: one that forgets to multiply by it shows, and dividing by it costs no rounding.
_UPSTREAM = 4.0
PROGRAM = "command"
Lifted = Mapping[str, Any]
Function = Callable[[Lifted], Any]


def frameworks_of(target: Target) -> list[Framework]:
    """The frameworks that a function may be written in, by what its file imports; NumPy may always be tried."""
    found: list[Framework] = []
    if target.uses("torch"):
        found += [_torch("float64"), _torch("float64", live=True), _torch("float32")]
    if target.uses("jax"):
        found.append(_jax())
    return [*found, NUMPY]


def _torch(floating: str, *, live: bool = False) -> Framework:
    """PyTorch, with real inputs of a dtype: float32 is for functions that hold numbers of their own in it.

    ``live`` inputs always require a gradient: a function may take one itself.
    """
    import torch

    def lift(array: Values) -> Any:
        made = torch.tensor(np.asarray(array))
        return made.to(getattr(torch, floating)).requires_grad_(live) if made.is_floating_point() else made

    def lower(value: Any) -> Values:
        if not isinstance(value, torch.Tensor):
            return np.asarray(value)
        plain = value.detach().cpu().resolve_conj()
        return np.asarray(plain.float().numpy() if plain.dtype == torch.bfloat16 else plain.numpy())

    def slopes(call: Function, inputs: Inputs, names: Sequence[str]) -> Claims:
        lifted = {name: lift(array) for name, array in inputs.items()}
        leaves = [lifted[name].requires_grad_() for name in names]
        # Its first act may be to write into a leaf, which autograd forbids: that is for it to say.
        value = call(lifted)
        if not value.requires_grad:
            return dict.fromkeys(names)
        found = torch.autograd.grad(_UPSTREAM * value.sum(), leaves, allow_unused=True)
        # What the value does not depend on has no gradient here, and a slope of zero.
        return {
            name: lower(torch.zeros_like(leaf) if slope is None else slope / _UPSTREAM)
            for name, leaf, slope in zip(names, leaves, found, strict=True)
        }

    return Framework(
        "PyTorch" if floating == "float64" else f"PyTorch in {floating}",
        lift,
        lower,
        lambda value: isinstance(value, torch.Tensor),
        slopes,
    )


def _jax() -> Framework:
    """JAX, with 64-bit numbers."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def slopes(call: Function, inputs: Inputs, names: Sequence[str]) -> Claims:
        rest = {name: jnp.asarray(array) for name, array in inputs.items() if name not in names}

        def total(moving: Lifted) -> Any:
            return _UPSTREAM * call({**rest, **moving}).sum()

        found = jax.grad(total)({name: jnp.asarray(inputs[name]) for name in names})
        return {name: np.asarray(slope / _UPSTREAM) for name, slope in found.items()}

    return Framework("JAX", jnp.asarray, np.asarray, lambda value: isinstance(value, jax.Array), slopes)


@dataclass
class Program:
    """A running program that answers each line of JSON, {"inputs": {...}}, with one: {"value": ..., "gradient": {...}}.

    ``timeout`` is how many seconds it may take for an answer. Raises UsageError where it cannot be started, DataError
    where it dies, hangs, or answers something else.
    """

    command: str
    timeout: float = 60.0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _answers: queue.Queue[bytes] = field(default_factory=queue.Queue, repr=False)
    _words: list[str] = field(default_factory=list, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _hearing: threading.Thread = field(default_factory=threading.Thread, repr=False)

    def __enter__(self) -> Program:
        try:
            self._process = subprocess.Popen(
                shlex.split(self.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            raise UsageError("command-start", f"{self.command!r} cannot be started: {error}") from error
        self._start(self._listen, self._process.stdout, self._answers.put)
        self._hearing = self._start(self._listen, self._process.stderr, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(timeout=1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()

    def _start(self, work: Callable[..., object], *given: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    @staticmethod
    def _listen(stream: IO[bytes] | None, put: Callable[[bytes], object]) -> None:
        assert stream is not None
        for line in stream:
            put(line)
        put(b"")

    def _hear(self, line: bytes) -> None:
        """Keep the last lines of standard error, to be told when it dies."""
        word = line.decode(errors="replace").strip()
        self._words[:] = [*self._words[-20:], *filter(None, [word])]

    def ask(self, many: Sequence[Inputs]) -> list[dict[str, Any]]:
        """The answers to many inputs, each a line; written by a thread, so that neither side waits for the other."""
        lines = [json.dumps({"inputs": strict(dict(inputs))}, allow_nan=False) + "\n" for inputs in many]
        writing = self._start(self._write, "".join(lines).encode())
        answers = [self._answer() for _ in many]
        writing.join()
        self._threads.remove(writing)
        return answers

    def _write(self, text: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except (OSError, ValueError):
            # It has died, and whoever waits for its answer is told so.
            return

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=self.timeout)
        except queue.Empty:
            message = f"{self.command!r} gave no answer in {self.timeout:g} seconds"
            raise DataError("command-timeout", message) from None
        if not line:
            assert self._process is not None
            code = self._process.wait()
            self._hearing.join(timeout=1.0)
            # Python names its error last, Node before a trace and its own version.
            said = next((word for word in reversed(self._words) if "rror" in word), "".join(self._words[-1:]))
            raise DataError("command-died", f"{self.command!r} ended with code {code}" + (f": {said}" if said else ""))
        try:
            made = json.loads(line)
        except ValueError:
            made = None
        if not isinstance(made, dict) or "value" not in made:
            text = line.decode(errors="replace").strip()[:80]
            message = f"{self.command!r} answered no JSON object with a value: {text!r}"
            raise DataError("command-answer", message)
        return made

    def claimant(self) -> Claimant:
        """The program as a function that claims a gradient."""
        return Claimant(
            self.command,
            PROGRAM,
            lambda many: [self._numbers(answer["value"]) for answer in self.ask(many)],
            lambda inputs: self._claims(self.ask([inputs])[0], inputs),
        )

    def _claims(self, answer: dict[str, Any], inputs: Inputs) -> Claims:
        if "gradient" not in answer:
            raise DataError("command-answer", f"{self.command!r} answered no gradient")
        claims = answer["gradient"]
        made = by_name(np.asarray(claims) if isinstance(claims, list) else claims, floats(inputs), NUMPY)
        return {name: None if claim is None else self._numbers(claim.tolist()) for name, claim in made.items()}

    def _numbers(self, value: Any) -> Values:
        """Numbers of an answer; NaN and infinities may be written as strings, null is NaN, as JavaScript writes it."""
        try:
            return np.asarray(value, np.float64)
        except (TypeError, ValueError) as error:
            raise DataError("command-answer", f"{self.command!r} answered no numbers: {error}") from error
