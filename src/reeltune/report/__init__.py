"""The report: what an evaluation found, as one HTML file that needs nothing else."""

from reeltune.report.training import TrainingCurves
from reeltune.report.write import write_report

__all__ = ["TrainingCurves", "write_report"]
