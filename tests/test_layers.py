"""The house keeps its shape: imports point down, files stay short, --help stays quick."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("pipeline", "model", "faceseg", "alignment", "trainer", "jobs")
ALLOWED = {
    "alignment": set(),
    "faceseg": set(),
    "model": set(),
    "pipeline": {"alignment", "faceseg", "model"},
    "trainer": {"alignment", "faceseg", "model"},
    "jobs": set(),  # jobs/handlers.py alone may reach pipeline
}
MAX_LINES = 500
SOURCES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))
DISTRIBUTION_OF = {
    "torch_fidelity": "torch-fidelity",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "dlib": "dlib-bin",
    "ffmpeg": "ffmpeg-python",
    "face_alignment": "face-alignment",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "PIL": "pillow",
}


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and node.level == 0}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_rooms_below_its_own(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    allowed = ALLOWED[room] | {room}
    if path == ROOT / "jobs" / "handlers.py":
        allowed.add("pipeline")
    assert imports_of(path) & (set(ROOMS) | {"run", "tests"}) <= allowed


@pytest.mark.parametrize(
    "path", [*SOURCES, ROOT / "run.py", *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_no_file_is_longer_than_a_reader_can_hold(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_everything_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["cluster"], *extras["int8"]]
    names = {d.split(">=")[0].split("[")[0].strip().lower() for d in declared}
    own = set(ROOMS) | {"run", "read_frames"}  # a script of the self-test, imported by a script beside it
    imported = (
        {name for path in [*SOURCES, ROOT / "run.py"] for name in imports_of(path)} - own - sys.stdlib_module_names
    )
    undeclared = {name for name in imported if DISTRIBUTION_OF.get(name, name) not in names}
    assert not undeclared - {"torch_tensorrt", "onnx", "onnxscript", "triton"}  # PyTorch for CUDA brings triton


@pytest.mark.parametrize(
    "module",
    [
        "run",
        "pipeline.cli.main",
        "pipeline.cli.crop",
        "pipeline.cli.styles",
        "alignment.points",
        "alignment.templates",
        "jobs.cli_dashboard",
        "jobs.cli_jobs",
        "jobs.cli_selftest",
        "jobs.cli_watch",
        "jobs.dry_run",
        "jobs.handlers",
        "pipeline.settings",
        "pipeline.inputs",
        "trainer.checks",
        "trainer.cli",
        "trainer.cli_evaluate",
        "trainer.config",
        "trainer.options",
        "trainer.presets",
    ],
)
def test_what_help_needs_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'cv2', 'av'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room / "errors.py").exists()])
def test_every_room_has_one_root_exception(room: str) -> None:
    source = (ROOT / room / "errors.py").read_text()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    roots = [c for c in classes if any(isinstance(b, ast.Name) and b.id == "Exception" for b in c.bases)]
    assert len(roots) == 1
    assert all(ast.get_docstring(c) for c in classes)
