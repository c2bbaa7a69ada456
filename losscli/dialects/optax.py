"""Optax's dialects. It returns a loss per row: means, and what they divide by, are the caller's."""

from __future__ import annotations

from collections.abc import Mapping

from losscli.dialects import optax_kernels as kernels
from losscli.loss import Dialect

_HALF = "the slope is half of that within it"

DIALECTS: Mapping[str, Dialect] = {
    "bce": Dialect("optax.losses.sigmoid_binary_cross_entropy(logits, target)"),
    "ce": Dialect(
        "optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels); of soft labels"
        " softmax_cross_entropy(logits, smooth_labels(labels, label_smoothing))"
    ),
    "cosine": Dialect(
        "optax.losses.cosine_distance(x, y, epsilon=0.0)",
        "of a zero vector it is NaN; of nearly parallel vectors digits are lost",
        kernel=kernels.cosine,
    ),
    "cross-entropy-probs": Dialect(
        "optax.losses.softmax_cross_entropy(q, jax.nn.softmax(p))",
        "it reads logits unless told otherwise",
        link="logits",
    ),
    "ctc": Dialect(
        "optax.losses.ctc_loss(logits, logit_paddings, labels, label_paddings, blank_id=blank, log_epsilon=-1e5)",
        "labels that no alignment fits cost about 100000 there, with a slope; infinity here",
    ),
    "dice": Dialect(
        "optax.losses.binary_dice_loss(logits[None], target[None], smooth=1.0)",
        "it reads logits; the smoothing, 1 unless said otherwise, is added to the overlap, not to twice the overlap",
        link="logits",
        params={"smooth": 1.0},
        kernel=kernels.dice,
    ),
    "focal": Dialect(
        "optax.losses.sigmoid_focal_loss(logits, target, alpha=None, gamma=2.0)",
        "a soft target has one factor, the probability of its opposite, for both outcomes",
        kernel=kernels.focal,
    ),
    "generalized-kl": Dialect("optax.losses.generalized_kl_divergence(log_q, p)"),
    "half-mse": Dialect("optax.losses.l2_loss(prediction, target)"),
    "hinge": Dialect(
        "optax.losses.hinge_loss(score, label)", f"where the margin is just met {_HALF}", kernel=kernels.hinge
    ),
    "huber": Dialect("optax.losses.huber_loss(prediction, target, delta=1.0)"),
    "jaccard": Dialect(
        "optax.losses.dice_loss(logits[None, :, None], target[None, :, None], smooth=1.0, alpha=1.0, beta=1.0)",
        "it reads logits; the smoothing is 1 unless said otherwise",
        link="logits",
        params={"smooth": 1.0},
    ),
    "kl": Dialect(
        "optax.losses.kl_divergence(log_q, p); of log-probabilities kl_divergence_with_log_targets(log_q, log_p)"
    ),
    "listnet": Dialect(
        "optax.losses.ranking_softmax_loss(scores, relevance)",
        "the relevance weighs log-probabilities as it is, not by its softmax",
        kernel=kernels.listnet,
    ),
    "log-cosh": Dialect("optax.losses.log_cosh(prediction, target)"),
    "logistic": Dialect("optax.losses.sigmoid_binary_cross_entropy(score, (label + 1)/2)"),
    "mse": Dialect("optax.losses.squared_error(prediction, target)"),
    "multiclass-hinge": Dialect(
        "optax.losses.multiclass_hinge_loss(logits, labels)",
        "where the margin is just met, or rivals tie, those at the top share the slope",
        kernel=kernels.multiclass_hinge,
    ),
    "multiclass-perceptron": Dialect(
        "optax.losses.multiclass_perceptron_loss(logits, labels)",
        "classes that tie for the lead share the slope",
        kernel=kernels.multiclass_perceptron,
    ),
    "multilabel-soft-margin": Dialect("optax.losses.sigmoid_binary_cross_entropy(logits, target).mean(-1)"),
    "nt-xent": Dialect(
        "optax.losses.ntxent(embeddings, labels, temperature=0.07)",
        "without a positive pair it is NaN; a vector shorter than 1.5e-8 counts as that long",
        kernel=kernels.nt_xent,
        folds={"values": kernels.embeddings},
    ),
    "perceptron": Dialect(
        "optax.losses.perceptron_loss(score, label)", f"where the score is 0 {_HALF}", kernel=kernels.perceptron
    ),
    "poly1": Dialect("optax.losses.poly_loss_cross_entropy(logits, one_hot_or_soft_labels, epsilon=2.0)"),
    "poly1-bce": Dialect(
        "optax.losses.poly_loss_cross_entropy(jnp.stack([logits, 0*logits], -1), jnp.stack([target, 1 - target], -1),"
        " epsilon=2.0)"
    ),
    "sparsemax": Dialect("optax.losses.multiclass_sparsemax_loss(logits, labels)"),
    "triplet": Dialect(
        "optax.losses.triplet_margin_loss(anchor, positive, negative, norm_degree=2, margin=1.0, eps=1e-6)",
        "1e-6 is added to the sum of powers; powers keep their signs: an odd norm_degree may be NaN; where the margin"
        f" is just met {_HALF}",
        kernel=kernels.triplet,
    ),
    "tversky": Dialect(
        "optax.losses.dice_loss(logits[None, :, None], target[None, :, None], smooth=1.0, alpha=0.5, beta=0.5)",
        "it reads logits; the smoothing is 1 unless said otherwise",
        link="logits",
        params={"smooth": 1.0},
    ),
}
