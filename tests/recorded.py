"""What losscli makes of data under the options that a table of outside numbers writes beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import losscli
from losscli.dialects import like
from losscli.loss import Bound
from losscli.plan import How
from losscli.results import Result, Wants

# Of these options, those that say how data are read.
_HOW = ("class_weight", "ignore_index", "label_smoothing", "class_axis")
OPTIONS = ("like", "from", "reduction", "sample_weight", "mask", *_HOW)


def asked(loss: str, params: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Bound, dict[str, Any]]:
    """A loss with its parameters, in a dialect where the options name one, and the keyword arguments of evaluate."""
    assert set(options) <= set(OPTIONS), f"unknown options: {set(options) - set(OPTIONS)}"
    found = losscli.get(loss)
    if "like" in options:
        found = like(found, options["like"])
    given = {name: options[name] for name in _HOW if name in options}
    if "class_weight" in given:
        given["class_weight"] = np.asarray(given["class_weight"], dtype=np.float64)
    arguments = {name: options[name] for name in ("reduction", "sample_weight", "mask") if name in options}
    return found.bind(**params), {"how": How(link=options.get("from", ""), **given), **arguments}


def slopes(
    bound: Bound, data: Mapping[str, Any], arguments: Mapping[str, Any], gradient: Iterable[str], hessian: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The gradients and the diagonal Hessians by the inputs that are named."""

    def result(**wants: Any) -> Result:
        return losscli.evaluate(bound, data, wants=Wants(**wants), **arguments)

    first = {name: result(grad=name).gradient for name in gradient}
    return first, {name: result(hess=name).hessian for name in hessian}
