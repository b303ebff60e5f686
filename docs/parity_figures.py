"""Print how close our networks come to the reference implementations: largest error and share of the tolerance.

python docs/parity_figures.py        (every fixture that is here; the test suite checks the same)
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
FIXTURES = ("g_", "d_", "norm_", "rho_", "bisenet", "face_")
TESTS = ("tests/model/test_parity.py", "tests/faceseg/test_bisenet.py", "tests/faceseg/test_masks.py",
         "tests/faceseg/test_parser.py")  # fmt: skip


def main() -> None:
    """Run the parity tests and print one line per fixture."""
    sys.path.insert(0, str(ROOT))
    from tests import oracle

    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    check = oracle.assert_close

    def recorded(what: str, got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
        error = (got.detach().double() - want.double()).abs().max().item() if got.numel() else 0.0
        if what.startswith(FIXTURES):
            rows[what.split()[0]].append((error, tolerance))
        check(what, got, want, tolerance)

    oracle.assert_close = recorded
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main([str(ROOT / name) for name in TESTS] + ["-q", "-p", "no:cacheprovider"])
    print("| fixture | values compared | largest error | share of its tolerance |\n|---|---|---|---|")
    for name, errors in sorted(rows.items()):
        share = max(error / tolerance if tolerance else 0.0 for error, tolerance in errors)
        print(f"| {name} | {len(errors)} tensors | {max(e for e, _ in errors):.1e} | {100 * share:.0f} % |")
    sys.exit(code)


if __name__ == "__main__":
    main()
