"""Draw docs/styles.png and docs/styles-frame.jpg: every built-in style on a portrait, head and whole picture.

python docs/style_sheet.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage.data import astronaut

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run `styles preview` on scikit-image's portrait of the astronaut Eileen Collins (NASA, public domain)."""
    environment = {name: value for name, value in os.environ.items() if name != "UGATIT_STYLE_DIR"}
    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / "astronaut.png"
        Image.fromarray(astronaut()[:290, 80:370]).save(portrait)
        for scope, name in (("head", "styles.png"), ("frame", "styles-frame.jpg")):
            command = [sys.executable, str(ROOT / "run.py"), "styles", "preview", str(portrait), "--overwrite"]
            options = ["--scope", scope, "--tile", "290", "-o", str(ROOT / "docs" / name)]
            subprocess.run([*command, *options], check=True, env=environment)


if __name__ == "__main__":
    main()
