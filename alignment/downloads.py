"""Public weights that are too large, or not ours, to ship: where they lie on this machine, and how to fetch them.

Nothing is downloaded on import or by looking; a file is only used when its SHA-256 is the known one. It does not read
weights: each back end does that.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from .errors import AlignmentError, DetectorUnavailableError, WeightsError

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "UGATIT_CACHE"
"""Environment variable that moves the user's cache."""

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECS = 30.0


@dataclass(frozen=True)
class PublicWeights:
    """A weights file somebody else publishes."""

    file_name: str
    """Name in the cache; the upstream name where it has one, so that files fetched by hand are found."""
    url: str
    """Where it is published."""
    sha256: str
    """Its checksum, 64 lower-case hexadecimal digits."""
    num_bytes: int
    """About its size, for the log; a download is cut off at twice that."""
    used_by: str
    """The back end that reads it, for messages."""
    instead: str
    """What to do without it, for messages: "use ...", a clause."""
    error: type[AlignmentError] = DetectorUnavailableError
    """Raised where the file cannot be had."""


def cache_dir() -> Path:
    """Return the user's cache: UGATIT_CACHE, else the platform's cache folder. It need not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "ugatit-pipeline"


def find_weights(weights: PublicWeights, explicit: Path | None = None) -> Path | None:
    """Look for weights on this machine; never downloads.

    Args:
        weights: what to look for, in the user's cache and in the folder where torch keeps downloads.
        explicit: a file the user named. It is taken as it is: its checksum may differ (another version).

    Returns:
        The file, or None where there is none.

    Raises:
        AlignmentError: the file the user named does not exist (of the type `weights.error`).
        WeightsError: the file in the cache is not the published one.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise weights.error(f"there is no weights file '{explicit}' for '{weights.used_by}'.")
        return explicit
    for folder in (cache_dir(), _torch_cache_dir()):
        path = folder / weights.file_name
        if path.is_file():
            _check(path, weights)
            return path
    return None


def fetch_weights(weights: PublicWeights, explicit: Path | None = None, *, allow_download: bool = True) -> Path:
    """Find weights on this machine, or download them into the user's cache.

    Args:
        weights: what to find.
        explicit: a file the user named; then nothing is downloaded.
        allow_download: False stays offline.

    Raises:
        AlignmentError: they are not here and cannot be downloaded; of the type `weights.error`, and says what to do.
        WeightsError: what was found or downloaded is not the published file.
    """
    found = find_weights(weights, explicit)
    if found is not None:
        return found
    if not allow_download:
        raise _unavailable(weights, "downloads are switched off")
    target = cache_dir() / weights.file_name
    logger.info("Downloading '%s' (%.1f MB) for '%s'.", weights.url, weights.num_bytes / 1e6, weights.used_by)
    try:
        _download(weights, target)
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
        raise _unavailable(weights, str(getattr(error, "reason", error)) or type(error).__name__) from error
    return target


def _torch_cache_dir() -> Path:
    """Where torch.hub, and so face-alignment itself, keeps downloads (torch.hub.get_dir, without importing torch)."""
    home = os.environ.get("TORCH_HOME")
    if home:
        return Path(home).expanduser() / "hub" / "checkpoints"
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "torch" / "hub" / "checkpoints"


def _download(weights: PublicWeights, target: Path) -> None:
    """Stream to a temporary name in the same folder, check, then rename: nobody ever sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(weights.url, timeout=_TIMEOUT_SECS) as response:
            left = 2 * weights.num_bytes
            while left > 0 and (chunk := response.read(min(_CHUNK_BYTES, left))):
                file.write(chunk)
                left -= len(chunk)
        if _sha256(Path(temporary)) != weights.sha256:
            raise WeightsError(
                f"'{weights.url}' did not give the published '{weights.file_name}'. Try again, or download it by "
                f"other means and save it as '{target}'."
            )
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _check(path: Path, weights: PublicWeights) -> None:
    found = _sha256(path)
    if found != weights.sha256:
        raise WeightsError(
            f"'{path}' is not the published '{weights.file_name}': its SHA-256 is '{found}', expected "
            f"'{weights.sha256}'. Delete it and fetch '{weights.url}' again."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unavailable(weights: PublicWeights, reason: str) -> AlignmentError:
    return weights.error(
        f"the weights of '{weights.used_by}' are not on this machine and could not be downloaded ({reason}). "
        f"Download '{weights.url}' elsewhere and save it as '{cache_dir() / weights.file_name}', or {weights.instead}."
    )
