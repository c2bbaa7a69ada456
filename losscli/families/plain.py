"""What families share: the fold that changes nothing, and the sets of options."""

from __future__ import annotations

from collections.abc import Callable

from losscli.inputs import LABEL, Array, Fold, Input

WEIGHTED = frozenset({"sample-weight", "mask"})
CLASSIFIED = WEIGHTED | {"class-weight", "ignore-index", "class-axis", "classes"}
LABELS = Input("labels", LABEL, help="class indices or names (N), or one-hot or soft labels (N, C)")


def plain(*names: str) -> Callable[..., Fold]:
    """The fold that changes nothing: the kernel reads the inputs themselves, in this order."""

    def fold(*arrays: Array) -> Fold:
        return Fold(
            arrays,
            gradient=lambda a, name: a[names.index(name)],
            hessian=lambda a, b, name: b[names.index(name)],  # noqa: ARG005
        )

    return fold
