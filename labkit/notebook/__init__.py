"""What a lab's notebook talks to: `begin` and `Lab`, typed parameters, and a student's answer on its way to a check.

Everything here may run in a student's kernel, where nothing of `labkit.checks` is to be found while a class is graded.
"""

from labkit.notebook.built import Built
from labkit.notebook.lab import (
    Lab,
    begin,
)
from labkit.notebook.parameters import (
    Parameter,
    ParameterError,
    parse_parameters,
)
from labkit.notebook.predictions import predict

__all__ = [
    "Built",
    "Lab",
    "Parameter",
    "ParameterError",
    "begin",
    "parse_parameters",
    "predict",
]
