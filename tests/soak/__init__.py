"""What only long runs show: `python -m tests.soak control` and `python -m tests.soak abuse`."""
