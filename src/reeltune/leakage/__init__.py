"""Leakage checks: could held-out ratings have been known to what is evaluated on them?

``find_target`` and ``run_checks`` are in ``reeltune.leakage.suite``, which loads scikit-learn.
"""

from reeltune.leakage.outcomes import Check, Finding, Offenders, Outcome

__all__ = ["Check", "Finding", "Offenders", "Outcome"]
