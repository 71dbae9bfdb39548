"""The report of an evaluation, as one HTML file."""

from reeltune.report.learning import TrainingCurves
from reeltune.report.write import write_report

__all__ = ["TrainingCurves", "write_report"]
