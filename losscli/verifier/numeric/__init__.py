"""Numeric slopes and what may be said of them: no module here knows a loss."""
