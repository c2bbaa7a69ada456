"""PyTorch's dialects."""

from __future__ import annotations

from collections.abc import Mapping

from losscli.loss import Dialect

DIALECTS: Mapping[str, Dialect] = {
    "ce": Dialect(
        "torch.nn.functional.cross_entropy(logits, labels, weight, ignore_index=-100, label_smoothing)",
        "label -100 is ignored; soft labels divide by all rows, whatever their weights; a mean of no rows is NaN",
        soft_mean="rows",
        empty="nan",
        ignore_index=-100,
    ),
}
