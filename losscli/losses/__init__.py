"""The catalogue: one module per family, one block per loss. Adding a loss edits nothing else."""
