"""Measurements: accuracy beside the printed formulas, and losscli side by side with its peers."""
