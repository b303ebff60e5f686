"""Freed memory is kept for the next frame."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from pipeline.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones((8, 1 << 20), np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
worked = keep_freed_memory()
np.ones((8, 1 << 20), np.uint8)
print(int(worked), usual, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_that_comes_and_goes_is_not_asked_of_the_system_again_and_again() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    worked, usual, kept = map(int, answer.stdout.split())
    if not worked:
        pytest.skip("another C library")
    assert kept < 0.1 * usual or usual < 1000
