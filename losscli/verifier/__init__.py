"""The verifier: numeric slopes with error bars, kinks, adversarial points, verdicts, planted faults."""
