"""PyTorch's dialects, and torchvision's."""

from __future__ import annotations

from collections.abc import Mapping

from losscli.dialects import torch_kernels as kernels
from losscli.dialects.torch_boxes import boxes, offset, shape, void
from losscli.loss import Dialect

_F = "torch.nn.functional"
_NONE_KEPT = "a mean of no rows is NaN"
_ADDED = "1e-6 is added to each coordinate of the difference"
_KINK = "where the margin is just met the slope is that within it"

DIALECTS: Mapping[str, Dialect] = {
    "bce": Dialect(
        f"{_F}.binary_cross_entropy_with_logits(logits, target, weight, pos_weight=pos_weight);"
        f" of probabilities {_F}.binary_cross_entropy(p, target, weight)",
        "a weighted mean divides by the number of entries; of probabilities, a surprise is 100 at most"
        " and the slope's divisor p (1 - p) 1e-12 at least",
        folds={"probs": kernels.probs},
        mean="kept",
    ),
    "ce": Dialect(
        f"{_F}.cross_entropy(logits, labels, weight, ignore_index=-100, label_smoothing=label_smoothing)",
        f"label -100 is ignored; soft labels divide by all rows, whatever their weights; {_NONE_KEPT}",
        soft_mean="rows",
        empty="nan",
        ignore_index=-100,
    ),
    "chebyshev": Dialect(
        f'{_F}.pairwise_distance(x, y, p=float("inf"), eps=1e-6)', _ADDED, kernel=kernels.apart("chebyshev")
    ),
    "ciou": Dialect(
        'torchvision.ops.complete_box_iou_loss(prediction, target, reduction="mean", eps=1e-7)',
        "1e-7 is added below three fractions, whatever the unit of the boxes; without a height the slope is NaN",
        kernel=boxes(offset, shape),
    ),
    "cosine": Dialect(
        f"1 - {_F}.cosine_similarity(x, y, eps=1e-8)",
        "a vector shorter than 1e-8 counts as that long; of nearly parallel vectors digits are lost",
        kernel=kernels.cosine,
    ),
    "cosine-embedding": Dialect(
        f"{_F}.cosine_embedding_loss(x, y, label, margin=margin)",
        f"1e-12 is added to the squared lengths; {_KINK}",
        kernel=kernels.cosine_embedding,
        folds={"values": kernels.angle},
    ),
    "ctc": Dialect(
        f"{_F}.ctc_loss(log_softmax(logits, -1).transpose(0, 1), labels, lengths, label_lengths, blank=blank)",
        "the mean is of each row's loss over its number of labels, at least 1",
        averaged=kernels.per_label,
    ),
    "diou": Dialect(
        'torchvision.ops.distance_box_iou_loss(prediction, target, reduction="mean", eps=1e-7)',
        "1e-7 is added below both fractions, whatever the unit of the boxes",
        kernel=boxes(offset),
    ),
    "entropy": Dialect("torch.special.entr(p).sum(-1)"),
    "euclidean": Dialect(f"{_F}.pairwise_distance(x, y, p=2, eps=1e-6)", _ADDED, kernel=kernels.apart("euclidean")),
    "focal": Dialect(
        'torchvision.ops.sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2, reduction="mean")',
        "alpha is 0.25 unless said otherwise; a soft target has one factor, the probability of its opposite,"
        " for both outcomes; slopes of NaN where that is 0 and gamma is below 1",
        params={"alpha": 0.25},
        kernel=kernels.focal,
    ),
    "gaussian-nll": Dialect(
        f"{_F}.gaussian_nll_loss(mean, target, variance, full=full, eps=1e-6)",
        "eps is 1e-6 unless said otherwise; a variance below eps has the slope of one of eps",
        params={"eps": 1e-6},
        kernel=kernels.gaussian_nll,
    ),
    "giou": Dialect(
        'torchvision.ops.generalized_box_iou_loss(prediction, target, reduction="mean", eps=1e-7)',
        "1e-7 is added below both fractions, whatever the unit of the boxes",
        kernel=boxes(void),
    ),
    "hinge-embedding": Dialect(
        f"{_F}.hinge_embedding_loss(distance, label, margin=margin)", _KINK, kernel=kernels.hinge_embedding
    ),
    "huber": Dialect(
        f"{_F}.huber_loss(prediction, target, delta=delta, weight=weight)",
        "a weighted mean divides by the number of entries",
        mean="kept",
    ),
    "iou": Dialect("1 - torchvision.ops.box_iou(prediction, target).diagonal()"),
    "kl": Dialect(
        f"{_F}.kl_div(log_q, p); of log-probabilities {_F}.kl_div(log_q, log_p, log_target=True)",
        'the mean divides by the number of entries, not of rows, unless reduction="batchmean"',
        mean="entries",
    ),
    "laplace-nll": Dialect("-torch.distributions.Laplace(mean, scale).log_prob(target)"),
    "logistic": Dialect(
        f"{_F}.soft_margin_loss(score, label)",
        "the exponential is taken as written: beyond -709 the loss is infinite, and its slope is NaN",
        kernel=kernels.logistic,
    ),
    "mae": Dialect(f"{_F}.l1_loss(prediction, target, weight=weight)", empty="nan"),
    "manhattan": Dialect(f"{_F}.pairwise_distance(x, y, p=1, eps=1e-6)", _ADDED, kernel=kernels.apart("manhattan")),
    "margin-ranking": Dialect(
        f"{_F}.margin_ranking_loss(x1, x2, label, margin=margin)", _KINK, kernel=kernels.margin_ranking
    ),
    "minkowski": Dialect(
        f"{_F}.pairwise_distance(x, y, p=2.0, eps=1e-6)",
        f"{_ADDED}; p is 2 unless said otherwise",
        params={"p": 2.0},
        kernel=kernels.apart("minkowski"),
    ),
    "mse": Dialect(f"{_F}.mse_loss(prediction, target, weight=weight)", empty="nan"),
    "multi-margin": Dialect(
        f"{_F}.multi_margin_loss(logits, labels, p=p, margin=margin, weight=weight)",
        "a weighted mean divides by the number of rows",
        mean="kept",
    ),
    "multilabel-margin": Dialect(f"{_F}.multilabel_margin_loss(logits, labels)"),
    "multilabel-soft-margin": Dialect(f"{_F}.multilabel_soft_margin_loss(logits, target)"),
    "negative-binomial": Dialect(
        "-torch.distributions.NegativeBinomial(1/dispersion, logits=log_rate + log(dispersion)).log_prob(target)",
        "the terms that depend on the count alone are added; slopes are the same",
        kernel=kernels.negative_binomial,
    ),
    "nll": Dialect(
        f"{_F}.nll_loss(log_probs, labels, weight, ignore_index=-100)",
        f"label -100 is ignored; {_NONE_KEPT}",
        empty="nan",
        ignore_index=-100,
    ),
    "poisson": Dialect(
        f"{_F}.poisson_nll_loss(prediction, target, log_input=True, full=full, eps=1e-8)",
        "of rates (log_input=False) the logarithm has 1e-8 added to its argument;"
        " full adds Stirling's approximation for counts above 1",
        kernel=kernels.poisson,
        folds={"rate": kernels.rate},
    ),
    "smooth-l1": Dialect(f"{_F}.smooth_l1_loss(prediction, target, beta=beta)"),
    "triplet": Dialect(
        f"{_F}.triplet_margin_loss(anchor, positive, negative, margin=margin, p=p, eps=1e-6, swap=swap)",
        f"{_ADDED}; {_KINK}",
        kernel=kernels.triplet,
    ),
}
