"""Witnesses of a gradient besides its numeric slopes."""
