"""A loss as another library computes it: its defaults, factors, clamps, denominators and Hessian conventions."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from losscli.errors import UsageError, did_you_mean
from losscli.inputs import PROBABILITY, Array, Fold, Input, Link, Partials, unscaled
from losscli.loss import Batch, Dialect, Loss, Pooled, Rows, Slope
from losscli.stable import by_row

# Each is a module of this package with a table DIALECTS.
PEERS = ("torch", "keras", "optax", "sklearn", "lightgbm", "xgboost")


def dialects_of(loss: Loss) -> dict[str, Dialect]:
    """The dialects of a loss by the name of the library."""
    tables = {peer: importlib.import_module(f"losscli.dialects.{peer}").DIALECTS for peer in PEERS}
    return {peer: table[loss.name] for peer, table in tables.items() if loss.name in table}


def like(loss: Loss, peer: str) -> Loss:
    """The loss in the dialect of a library; UsageError where that does not offer it."""
    known = dialects_of(loss)
    if peer not in known:
        others = f"{loss.name} has dialects of {', '.join(known)}" if known else f"{loss.name} has no dialects"
        hint = did_you_mean(peer, PEERS) if peer not in PEERS else ""
        raise UsageError("dialect-unknown", f"{peer} has no {loss.name}", hint=hint or others)
    dialect = known[peer]
    links = {
        name: _clipped(replace(link, fold=dialect.folds.get(name, link.fold)), dialect, loss.reads.names)
        for name, link in loss.reads.links.items()
    }
    if dialect.link:
        links = {dialect.link: links[dialect.link], **links}
    params = tuple(replace(one, default=dialect.params.get(one.name, one.default)) for one in loss.params)
    kernel = dialect.kernel or loss.kernel
    if dialect.factor != 1.0:
        kernel = _times(kernel, lambda *_: np.array([dialect.factor]))
    reads = replace(loss.reads, links=links)
    if dialect.kernel or dialect.folds or dialect.clip or dialect.averaged or dialect.hessian:
        reads = replace(reads, inputs=tuple(map(_held, reads.inputs)))
    if dialect.other_variables:
        loss = replace(loss, kinks=None, frozen=None)
    return replace(loss, reads=reads, params=params, kernel=kernel, dialect=replace(dialect, peer=peer))


def _held(entry: Input) -> Input:
    """The input without a slope, if it holds soft targets: a library's own arithmetic has none by them here."""
    return replace(entry, differentiable=False) if entry.name == "target" and entry.domain is PROBABILITY else entry


def averaged(loss: Loss) -> Loss:
    """The loss as its dialect takes the mean of: rows that count by themselves are multiplied first."""
    if loss.dialect is None or loss.dialect.averaged is None:
        return loss
    return replace(loss, kernel=_times(loss.kernel, loss.dialect.averaged))


def _times(kernel: Any, factor_of: Callable[..., Array]) -> Any:
    """The kernel with its value and slopes times a factor, one number or one per row."""

    def made(*variables: Any, **params: Any) -> Rows | Batch:
        plain, factor = kernel(*variables, **params), factor_of(*variables)
        assert not isinstance(plain, Pooled)
        hess = plain.hess

        def scaled(slope: Slope) -> Slope:
            if isinstance(slope, tuple):
                return tuple(by_row(factor, one) * one for one in slope)
            return by_row(factor, slope) * slope

        return replace(
            plain,
            value=factor * plain.value,
            grad=lambda: scaled(plain.grad()),
            hess=None if hess is None else lambda: scaled(hess()),
        )

    return made


def _clipped(link: Link, dialect: Dialect, names: tuple[str, ...]) -> Link:
    """The link with inputs clipped before they are read, no slope where they are, and the library's own Hessian."""
    if not dialect.clip and dialect.hessian is None:
        return link

    def fold(*arrays: Any) -> Fold:
        given, outside = list(arrays), dict[str, Any]()
        for name, (low, high) in dialect.clip.items():
            at = names.index(name)
            given[at] = np.clip(arrays[at], low, high)
            outside[name] = given[at] != arrays[at]
        plain = link.fold(*given)

        def gradient(a: Partials, name: str) -> Array:
            slope = plain.gradient(a, name)
            return np.where(outside[name], 0.0, slope) if name in outside else slope

        def hessian(a: Partials, b: Partials, name: str) -> Array:
            if dialect.hessian is None:
                curve = plain.hessian(a, b, name)
                return np.where(outside[name], 0.0, curve) if name in outside else curve
            # What libraries put in the place of a Hessian is a function of a row's own slopes, before its weight.
            own, factor = unscaled(a)
            made = dialect.hessian(plain.hessian(own, unscaled(b)[0], name), gradient(own, name))
            return made if factor is None else made * by_row(factor, made)

        return replace(plain, gradient=gradient, hessian=hessian)

    return replace(link, fold=fold)
