"""What only starting needed does not stay in memory, and everything still works."""

import subprocess
import sys

import pytest

SCRIPT = """
from pathlib import Path
import cv2
import numpy as np
import torch
from pipeline.resident import give_back_libraries

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

before = resident()
given = give_back_libraries()
after = resident()
picture = cv2.resize(np.ones((64, 64, 3), np.float32), (32, 32))
total = float(torch.nn.functional.conv2d(torch.ones(1, 3, 8, 8), torch.ones(1, 3, 3, 3)).sum())
print(before, given, after, resident(), picture.sum(), total)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_pages_of_libraries_are_given_back_and_come_again_when_they_are_needed() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    before, given, after, later, picture, total = map(float, answer.stdout.split())
    if not given:
        pytest.skip("no /proc/self/smaps here")
    assert before - after > 0.8 * given > 50e6
    assert later < before
    assert (picture, total) == (32 * 32 * 3, 6 * 6 * 27)
