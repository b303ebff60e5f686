"""Print the table of docs/figures.md for some clips: speed, faces, jitter and warp error with smoothing on and off.

python docs/clip_figures.py CLIP...
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def reports(clips: list[str], *options: str) -> list[dict[str, Any]]:
    """Convert the clips in a process of their own and return their reports."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(ROOT / "run.py"), "--json", "convert", *clips, "-o", out, *options]
        return list(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["results"])


def main() -> None:
    """Convert twice, print one line per clip."""
    clips = sys.argv[1:]
    on, off = reports(clips), reports(clips, "--smoothing", "0")
    print("| clip | frames | with a face | fps | jitter in | off | on | warp error in | off | on | verified |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for a, b in zip(on, off, strict=True):
        share = 100 * a["frames_with_faces"] / a["frames"]
        jitter = [a["jitter_in_percent"], b["jitter_out_percent"], a["jitter_out_percent"]]
        unrest = [a["warp_error_in"], b["warp_error_out"], a["warp_error_out"]]
        cells = [Path(a["input"]).stem, a["frames"], f"{share:.1f} %", f"{a['fps']:.1f}"]
        cells += [f"{value:.2f} %" for value in jitter] + [f"{value:.2f}" for value in unrest]
        print("|", " | ".join(str(cell) for cell in [*cells, a["verified"] and b["verified"]]), "|")


if __name__ == "__main__":
    main()
