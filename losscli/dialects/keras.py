"""Keras 3's dialects."""

from __future__ import annotations

from collections.abc import Mapping

from losscli.dialects import keras_kernels as kernels
from losscli.loss import Dialect

_MEAN = "a weighted mean divides by the number of rows"
_CLIP = "probabilities are clipped to [1e-7, 1 - 1e-7], with no slope outside"
_SUM = "probabilities are divided by their sum, which slopes take into account, and clipped to [1e-7, 1 - 1e-7]"

DIALECTS: Mapping[str, Dialect] = {
    "bce": Dialect(
        "keras.losses.BinaryCrossentropy(from_logits=False, label_smoothing=label_smoothing)(target, p, sample_weight)",
        f"{_CLIP}; {_MEAN}",
        link="probs",
        folds={"probs": kernels.probs},
        mean="kept",
    ),
    "binary-zero-one": Dialect(
        "1 - keras.metrics.binary_accuracy(target, p, threshold=0.5)",
        link="probs",
        mean="kept",
    ),
    "ce": Dialect(
        "keras.losses.SparseCategoricalCrossentropy(from_logits=False, ignore_class=ignore_index)"
        "(labels, p, sample_weight); of soft labels CategoricalCrossentropy(label_smoothing=label_smoothing)",
        f"it reads probabilities unless told otherwise; {_SUM}; {_MEAN}; of no rows it is 0",
        link="probs",
        folds={"probs": kernels.likelihood_probs},
        mean="kept",
        empty="zero",
    ),
    "circle": Dialect(
        "keras.losses.Circle(gamma=80, margin=0.4)(labels, embeddings)",
        "inner products are taken for cosines: vectors should have length 1; slopes are also those of the pairs'"
        " weights; the mean is over the anchors whose loss is above 0",
        kernel=kernels.circle,
        other_variables=True,
        folds={"values": kernels.products},
    ),
    "cosine": Dialect(
        "keras.losses.CosineSimilarity()(x, y, sample_weight)",
        f"the negative cosine, less by 1; a vector shorter than 1e-7 counts as that long; {_MEAN}",
        kernel=kernels.cosine,
        mean="kept",
    ),
    "cross-entropy-probs": Dialect(
        "keras.losses.CategoricalCrossentropy(from_logits=False)(p, q, sample_weight)",
        f"q's {_SUM}; {_MEAN}",
        kernel=kernels.cross_entropy,
        mean="kept",
    ),
    "ctc": Dialect(
        "keras.losses.CTC()(labels, logits, sample_weight)",
        "the blank is class 0, and labels are filled up with 0, not with -1; all frames count; labels that no alignment"
        f" fits cost about 100000 there, with a slope, and infinity here; {_MEAN}",
        mean="kept",
    ),
    "dice": Dialect(
        "keras.losses.Dice()(target, probs)",
        "1e-7 is added below the fraction alone: two empty masks cost 1",
        kernel=kernels.dice,
    ),
    "elastic-net": Dialect("keras.regularizers.L1L2(l1=l1, l2=l2)(w)"),
    "focal": Dialect(
        "keras.losses.BinaryFocalCrossentropy(apply_class_balancing=False, alpha=0.25, gamma=2, from_logits=False,"
        " label_smoothing=label_smoothing)(target, p, sample_weight)",
        f"it reads probabilities unless told otherwise; within the logarithms {_CLIP}; a soft target has one factor,"
        f" the probability of its opposite, for both outcomes; {_MEAN}",
        link="probs",
        kernel=kernels.focal,
        folds={"probs": kernels.chance_probs, "logits": kernels.chance_logits},
        mean="kept",
    ),
    "gce": Dialect(
        "keras.losses.CategoricalGeneralizedCrossEntropy(q=0.5)(labels, p, sample_weight)",
        f"q is 0.5 unless said otherwise; {_MEAN}",
        link="probs",
        params={"q": 0.5},
        mean="kept",
    ),
    "hinge": Dialect(
        "keras.losses.Hinge()(label, score, sample_weight)",
        f"where the margin is just met the slope is half of that within it; {_MEAN}; labels of 0 and 1 are taken for"
        " -1 and 1 where a batch has no others",
        kernel=kernels.hinge,
        mean="kept",
    ),
    "huber": Dialect("keras.losses.Huber(delta=1.0)(target, prediction, sample_weight)", _MEAN, mean="kept"),
    "kl": Dialect(
        "keras.losses.KLDivergence()(p, q, sample_weight)",
        f"both are clipped to 1e-7 at least, with no slope below; {_MEAN}",
        folds={"probs": kernels.clipped_pair},
        mean="kept",
    ),
    "l1-penalty": Dialect("keras.regularizers.L1(1.0)(w)"),
    "l2-penalty": Dialect("keras.regularizers.L2(1.0)(w)"),
    "log-cosh": Dialect("keras.losses.LogCosh()(target, prediction, sample_weight)", _MEAN, mean="kept"),
    "log-loss": Dialect(
        "keras.losses.SparseCategoricalCrossentropy(from_logits=False, ignore_class=ignore_index)"
        "(labels, probs, sample_weight)",
        f"{_SUM}; {_MEAN}; of no rows it is 0",
        folds={"probs": kernels.likelihood_probs},
        mean="kept",
        empty="zero",
    ),
    "logistic": Dialect(
        "keras.losses.BinaryCrossentropy(from_logits=True)((label + 1)/2, score, sample_weight)", _MEAN, mean="kept"
    ),
    "mae": Dialect("keras.losses.MeanAbsoluteError()(target, prediction, sample_weight)", _MEAN, mean="kept"),
    "mape": Dialect(
        "keras.losses.MeanAbsolutePercentageError()(target, prediction, sample_weight)",
        f"in per cent: 100 times as much; {_MEAN}",
        params={"least": 1e-7},
        factor=100.0,
        mean="kept",
    ),
    "mse": Dialect("keras.losses.MeanSquaredError()(target, prediction, sample_weight)", _MEAN, mean="kept"),
    "msle": Dialect(
        "keras.losses.MeanSquaredLogarithmicError()(target, prediction, sample_weight)",
        f"predictions and targets below 1e-7 are taken for 1e-7, with no slope; {_MEAN}",
        clip={"prediction": (kernels.EPS, float("inf")), "target": (kernels.EPS, float("inf"))},
        mean="kept",
    ),
    "multiclass-hinge": Dialect(
        "keras.losses.CategoricalHinge()(keras.ops.one_hot(labels, classes), logits, sample_weight)",
        "a score of 0 takes part in the contest for the strongest rival; those that tie share the slope, and where"
        f" the margin is just met it is half of that within it; {_MEAN}",
        kernel=kernels.multiclass_hinge,
        mean="kept",
    ),
    "multilabel-soft-margin": Dialect(
        "keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)"
        "(target, logits, sample_weight)",
        f"of probabilities (from_logits=False) {_CLIP}; {_MEAN}",
        folds={"probs": kernels.probs},
        mean="kept",
    ),
    "poisson": Dialect(
        "keras.losses.Poisson()(target, rate, sample_weight)",
        f"it reads rates; 1e-7 is added to the logarithm's argument; {_MEAN}",
        link="rate",
        folds={"rate": kernels.rate},
        mean="kept",
    ),
    "softmax-focal": Dialect(
        "keras.losses.CategoricalFocalCrossentropy(alpha=0.25, gamma=2, from_logits=False,"
        " label_smoothing=label_smoothing)(keras.ops.one_hot(labels, classes), p, sample_weight)",
        f"alpha is 0.25 unless said otherwise; it reads probabilities unless told otherwise; {_SUM}, also those of"
        f" logits; {_MEAN}",
        link="probs",
        params={"alpha": 0.25},
        folds={"probs": kernels.likelihood_probs, "logits": kernels.likelihood_softmax},
        mean="kept",
    ),
    "squared-hinge": Dialect(
        "keras.losses.SquaredHinge()(label, score, sample_weight)",
        f"where the margin is just met the curvature is a quarter of that within it; {_MEAN}; labels of 0 and 1 are"
        " taken for -1 and 1 where a batch has no others",
        kernel=kernels.squared_hinge,
        mean="kept",
    ),
    "tversky": Dialect(
        "keras.losses.Tversky(alpha=alpha, beta=beta)(target, probs)",
        "up to 3.15.1 alpha weighs the false negatives and beta the false positives; 1e-7 is added below the fraction"
        " alone: two empty masks cost 1",
        kernel=kernels.tversky,
    ),
    "zero-one": Dialect(
        "1 - keras.metrics.sparse_categorical_accuracy(labels, logits)",
        "of classes that tie for the lead the first is predicted",
        kernel=kernels.zero_one,
    ),
}
