"""Checks a table's form and rules, and writes a sentence for each problem."""

from router.contract.check.form import Path
from router.contract.check.table import (
    MAX_DELAY_MS,
    MAX_FAULT_S,
    Problem,
    check,
    check_app,
    domain_problem,
    is_address,
)

__all__ = [
    "MAX_DELAY_MS",
    "MAX_FAULT_S",
    "Path",
    "Problem",
    "check",
    "check_app",
    "domain_problem",
    "is_address",
]
