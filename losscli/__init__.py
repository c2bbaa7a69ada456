"""losscli: losses, their gradients and Hessians from files, and a verifier of gradients.

>>> import losscli
>>> result = losscli.evaluate(losscli.get("ce").bind(), {"logits": [[40.0, 0.0, 0.0]], "labels": [0]})
>>> f"{result.value:.12g}"
'8.49670851058e-18'
"""

from __future__ import annotations

import sys
from types import ModuleType

# Typing's own constant would cost the import of typing, a third of what --version takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from losscli.evaluate import evaluate as evaluate
    from losscli.loss import get as get
    from losscli.verifier.dumps.claims import Claims as Claims
    from losscli.verifier.dumps.claims import verify as verify
    from losscli.verifier.gradcheck import gradcheck as gradcheck

__version__ = "0.1.0"

_HOMES = {
    "Claims": "losscli.verifier.dumps.claims",
    "evaluate": "losscli.evaluate",
    "get": "losscli.loss",
    "gradcheck": "losscli.verifier.gradcheck",
    "verify": "losscli.verifier.dumps.claims",
}
__all__ = ["__version__", *_HOMES]


class _Package(ModuleType):
    # Once imported, a submodule becomes an attribute of its package: losscli.evaluate must stay the function.
    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    # Imported when first used: 'losscli --version' need not load numpy.
    if name not in _HOMES:
        raise AttributeError(f"module 'losscli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
