"""Dialects: what other libraries make of the same loss, as data about it and never as branches in its kernel.

One module per library, with a table from the names of losses to a Dialect.
"""

from losscli.dialects.core import PEERS, averaged, dialects_of, like

__all__ = ["PEERS", "averaged", "dialects_of", "like"]
