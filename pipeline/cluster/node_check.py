"""Is another machine fit to render our chunks: the same program and packages, the same files, the same arithmetic?

What is compared are plain dictionaries, made here and there by the same function; what differs becomes a sentence with
the name of the node, what is the matter with it, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..studio import Studio

Facts = Mapping[str, Any]
"""What is found on a machine."""

_INSTALL = "pip install the same release of ugatit-pipeline[cluster] there"
_SHARE = "mount the same shared folder under the same path on every machine"


def make_probe() -> Callable[[str, str], dict[str, Any]]:
    """Return a function that looks at the machine it runs on.

    It needs nothing of this program and can be sent as it stands: a machine without the program answers, too.
    """

    def probe(source: str, fence: str) -> dict[str, Any]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import os
        import pathlib
        import platform
        import uuid

        def version(name: str) -> str | None:
            try:
                return importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return None

        def code() -> str | None:
            digest = hashlib.sha256()
            for room in ("alignment", "faceseg", "model", "pipeline"):
                try:
                    found = importlib.util.find_spec(room)
                except (ImportError, ValueError):
                    found = None
                if found is None or not found.submodule_search_locations:
                    return None
                top = pathlib.Path(next(iter(found.submodule_search_locations)))
                for path in sorted(top.rglob("*.py")):
                    digest.update(path.relative_to(top).as_posix().encode() + b"\0" + path.read_bytes())
            return digest.hexdigest()

        def sample() -> list[Any] | str:
            try:
                with open(source, "rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    digest = hashlib.sha256()
                    for place in (0, size // 2, max(size - 65536, 0)):
                        file.seek(place)
                        digest.update(file.read(65536))
                return [size, digest.hexdigest()]
            except OSError as error:
                return error.strerror or str(error)

        def mark() -> list[str] | str:
            name = f"node-{uuid.uuid4().hex}"
            try:
                token = (pathlib.Path(fence) / "token").read_text(encoding="ascii")
                (pathlib.Path(fence) / name).write_text(platform.node(), encoding="utf-8")
            except OSError as error:
                return error.strerror or str(error)
            return [token, name]

        packages = ("torch", "openvino", "numpy", "opencv-python", "av")
        return {
            "python": ".".join(platform.python_version_tuple()[:2]),
            "code": code(),
            "packages": {name: version(name) for name in packages},
            "source": sample(),
            "mark": mark(),
        }

    return probe


def complain(node: str, here: Facts, there: Facts, source: Path, fence: Path) -> str | None:
    """Compare what `probe` found on a node with what it found here.

    Args:
        node: name of the node, for people.
        here: this machine's facts.
        there: the node's.
        source: the video.
        fence: where results go; the node has put a file there, which is removed.

    Returns:
        None if all is well, else why the node cannot be used.
    """
    if there["code"] is None:
        return (
            f'node "{node}" has no ugatit-pipeline that its Python finds; {_INSTALL}, and start Ray from that Python.'
        )
    if there["python"] != here["python"]:
        return f'node "{node}" runs Python {there["python"]}, here is {here["python"]}; use the same on all machines.'
    if there["code"] != here["code"]:
        return f'node "{node}" has another version of ugatit-pipeline than this machine; {_INSTALL}.'
    for name, version in here["packages"].items():
        if there["packages"][name] != version:
            return (
                f'node "{node}" has {name} {there["packages"][name]}, here is {version}; they could give different '
                f"pixels. Install the same on all machines: pip install {name}=={version}."
            )
    return _complain_of_files(node, here, there, source, fence)


def _complain_of_files(node: str, here: Facts, there: Facts, source: Path, fence: Path) -> str | None:
    folder = fence.parent
    if isinstance(there["source"], str):
        return f'node "{node}" cannot read "{source}" ({there["source"]}); {_SHARE}.'
    if there["source"] != here["source"]:
        return f'node "{node}" has another file at "{source}" than this machine; {_SHARE}.'
    if isinstance(there["mark"], str):
        return (
            f'node "{node}" cannot write to "{folder}" ({there["mark"]}); {_SHARE}, and let the user that Ray runs as '
            "write there."
        )
    token, name = there["mark"]
    mark = fence / name
    is_seen = mark.is_file()
    mark.unlink(missing_ok=True)
    if token != here["mark"][0] or not is_seen:
        return f'node "{node}" has another folder at "{folder}" than this machine; {_SHARE}.'
    return None


def identity_of(studio: Studio) -> dict[str, Any]:
    """Tell what gives frames their bits, of a studio whose networks are loaded: for comparison with another one."""
    import torch

    from ..ffmpeg import ffmpeg_version
    from ..job_identity import hardware_of

    engines = studio.engines.items()
    is_on_cpu = any(str(engine.device) == "cpu" for _, engine in engines)
    return {
        "styles": [studio.styles[name].sha256 for name, _ in engines],
        "engines": [f"{engine.name} {engine.precision} on {hardware_of(str(engine.device))}" for _, engine in engines],
        "instructions": torch.backends.cpu.get_cpu_capability() if is_on_cpu else "",
        "mask": studio.mask_name,
        "ffmpeg": ".".join(str(part) for part in ffmpeg_version()),
    }


_DIFFERENCES = {
    "styles": "has another style file ({there}) than this machine ({here}); put the same one there under the same path",
    "engines": "would render with {there}, this machine with {here}; choose --device, --engine and --precision so that "
    "both do the same, or start from a machine of the same kind",
    "instructions": "computes with {there} instructions, this machine with {here}, which rounds differently; start "
    "from a machine of the same kind",
    "mask": "makes masks by {there}, this machine by {here}; put the same parser weights there, or choose --mask",
    "ffmpeg": "has ffmpeg {there}, here is {here}; install the same, or set UGATIT_FFMPEG there",
}


def complain_of_identity(node: str, here: Facts, there: Facts) -> str | None:
    """Compare identities; None if a node's frames have the bits that this machine's would have."""
    for key, words in _DIFFERENCES.items():
        if here[key] != there[key]:
            told = {"here": _shown(here[key]), "there": _shown(there[key])}
            return f'node "{node}" {words.format(**told)}.'
    return None


def _shown(value: Any) -> str:
    return ", ".join(str(one)[:60] for one in value) if isinstance(value, list) else str(value)
