"""The families: what each reads, how it may be given, and which shared options mean something to it."""

from __future__ import annotations

from losscli import folds, inputs
from losscli.inputs import Input, Link, Signature

_WEIGHTED = frozenset({"sample-weight", "mask"})
_CLASSIFIED = _WEIGHTED | {"class-weight", "ignore-index", "class-axis", "classes"}
_SOFTMAX = "[exp(z)/sum(exp(w) for w in logits) for z in logits]"
_SIGMOID = "1/(1 + exp(-logits))"
_LABELS = Input("labels", inputs.LABEL, help="class indices or names (N), or one-hot or soft labels (N, C)")

RESIDUAL = Signature(
    "residual",
    (Input("prediction", inputs.REAL, differentiable=True), Input("target", inputs.REAL, differentiable=True)),
    "elements",
    {"values": Link(folds.residual, (("r", "prediction - target"),))},
    options=_WEIGHTED,
)
MARGIN = Signature(
    "margin",
    (
        Input("score", inputs.REAL, differentiable=True),
        Input("label", inputs.SIGN, help="-1 or 1; 0 or 1 with --labels 01"),
    ),
    "elements",
    {"values": Link(folds.margin, (("m", "label*score"),))},
    options=_WEIGHTED | {"labels"},
)
BINARY = Signature(
    "binary",
    (
        Input("logits", inputs.REAL, differentiable=True),
        Input("target", inputs.PROBABILITY, help="0, 1 or a probability between"),
    ),
    "elements",
    {
        "logits": Link(folds.binary_logits, (("p", _SIGMOID), ("t", "target"))),
        "probs": Link(folds.binary_probs, (("p", "logits"), ("t", "target")), {"logits": inputs.PROBABILITY}),
    },
    options=_WEIGHTED | {"label-smoothing", "classes"},
)
COUNT = Signature(
    "count",
    (
        Input("prediction", inputs.REAL, differentiable=True, help="the logarithm of the rate, or the rate"),
        Input("target", inputs.NON_NEGATIVE, help="counts"),
    ),
    "elements",
    {
        "log-rate": Link(folds.log_rate, (("rate", "exp(prediction)"), ("t", "target"))),
        "rate": Link(folds.rate, (("rate", "prediction"), ("t", "target")), {"prediction": inputs.NON_NEGATIVE}),
    },
    options=_WEIGHTED,
)
LIKELIHOOD = Signature(
    "likelihood",
    (Input("logits", inputs.LOGIT, differentiable=True, help="one score per class (N, C, ...)"), _LABELS),
    "classes",
    {
        "logits": Link(folds.likelihood_logits, (("p", "exp(logits[y])/sum(exp(z) for z in logits)"),), reveals=True),
        "log-probs": Link(folds.likelihood_log_probs, (("p", "exp(logits[y])"),), {"logits": inputs.LOG_PROBABILITY}),
        "probs": Link(folds.likelihood_probs, (("p", "logits[y]"),), {"logits": inputs.SIMPLEX}),
    },
    options=_CLASSIFIED | {"label-smoothing"},
    soft=True,
    expected=True,
)
LOG_LIKELIHOOD = Signature(
    "log-likelihood",
    (Input("log_probs", inputs.LOG_PROBABILITY, differentiable=True, help="log-probabilities (N, C, ...)"), _LABELS),
    "classes",
    {"log-probs": Link(folds.likelihood_log_probs, (("p", "exp(log_probs[y])"),))},
    options=_CLASSIFIED | {"label-smoothing"},
    soft=True,
    expected=True,
)
DEVIATION = Signature(
    "deviation",
    (Input("logits", inputs.LOGIT, differentiable=True, help="one score per class (N, C, ...)"), _LABELS),
    "classes",
    {
        "logits": Link(folds.deviation_logits, (("p", _SOFTMAX),)),
        "probs": Link(folds.deviation_probs, (("p", "logits"),), {"logits": inputs.SIMPLEX}),
    },
    options=_CLASSIFIED | {"label-smoothing"},
    soft=True,
)
SCORES = Signature(
    "scores",
    (Input("logits", inputs.REAL, differentiable=True, help="one score per class (N, C, ...)"), _LABELS),
    "classes",
    {"logits": Link(folds.scores, (("z", "logits"),))},
    options=_CLASSIFIED,
)
DISTRIBUTION = Signature(
    "distribution",
    (Input("p", inputs.SIMPLEX, differentiable=True, help="one distribution per row (N, C)"),),
    "rows",
    {"probs": Link(folds.plain("p"))},
    options=_WEIGHTED,
)
DISTRIBUTIONS = Signature(
    "distributions",
    (
        Input("p", inputs.SIMPLEX, differentiable=True, help="one distribution per row (N, C)"),
        Input("q", inputs.SIMPLEX, differentiable=True, help="the one it is compared with (N, C)"),
    ),
    "rows",
    {"probs": Link(folds.plain("p", "q"))},
    options=_WEIGHTED,
)
VECTORS = Signature(
    "vectors",
    (
        Input("x", inputs.REAL, differentiable=True, help="one vector per row (N, D)"),
        Input("y", inputs.REAL, differentiable=True, help="one vector per row (N, D)"),
    ),
    "rows",
    {"values": Link(folds.plain("x", "y"))},
    options=_WEIGHTED,
)
TRIPLETS = Signature(
    "triplets",
    tuple(Input(name, inputs.REAL, differentiable=True) for name in ("anchor", "positive", "negative")),
    "rows",
    {"values": Link(folds.plain("anchor", "positive", "negative"))},
    options=_WEIGHTED,
)
OVERLAP = Signature(
    "overlap",
    (
        Input("probs", inputs.PROBABILITY, differentiable=True, help="predicted membership, any shape"),
        Input("target", inputs.PROBABILITY, help="true membership, of the same shape"),
    ),
    "elements",
    {
        "probs": Link(folds.mask_probs, (("p", "probs"), ("t", "target"))),
        "logits": Link(
            folds.mask_logits, (("p", "[1/(1 + exp(-z)) for z in probs]"), ("t", "target")), {"probs": inputs.REAL}
        ),
    },
    options=_WEIGHTED,
)
RANKING = Signature(
    "ranking",
    (
        Input("scores", inputs.REAL, differentiable=True, help="one score per document (N)"),
        Input("relevance", inputs.REAL, help="graded relevance per document (N)"),
        Input("query", inputs.IDENTITY, help="which query each document belongs to (N)"),
    ),
    "groups",
    {"values": Link(folds.ranking)},
)
WEIGHTS = Signature(
    "weights",
    (Input("weights", inputs.REAL, differentiable=True, help="parameters, any shape"),),
    "elements",
    {"values": Link(folds.plain("weights"), (("w", "weights"),))},
    options=_WEIGHTED,
    reduction="sum",
)
