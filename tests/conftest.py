"""What every test can rely on, whatever ran before it."""

import sys

import pytest


@pytest.fixture(autouse=True)
def denormals_are_numbers():
    """Restoring flushes denormals for speed, process-wide; Hypothesis rightly refuses to draw floats after that."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
