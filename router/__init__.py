"""The data plane: one edge router that decides, request by request, which revision answers.

Understood, tested and run with a routes file alone; it never imports `control`.
"""

__version__ = "0.1.0"
