"""Look at captures, workloads and runs of ioriot from Python.

`open` gives a dataset: its tables, answers to SQL, its report and plots. `compare` sets runs side by side, and `command`
calls any verb of the program. Files are read by pyarrow; everything else is asked of the program `ioriot`.
"""

from ioriot._compare import Comparison, compare
from ioriot._dataset import Dataset, open
from ioriot._program import Error, command, program
from ioriot._report import Finding, Plot, Report, Section
from ioriot._result import Result

__all__ = [
    "Comparison",
    "Dataset",
    "Error",
    "Finding",
    "Plot",
    "Report",
    "Result",
    "Section",
    "command",
    "compare",
    "open",
    "program",
]
