"""From candidates to what the job table takes: what a source gets, where its result goes.

Reads sidecars and configuration only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .candidates import Candidate
from .config import FolderConfig
from .config_files import treatment_for
from .errors import WatchConfigError
from .handlers import options_hash
from .job import Sighting, Treatment
from .names import is_our_folder
from .sidecars import sidecar_of


@dataclass(frozen=True)
class Seen:
    """A sighting, and what is wrong with it."""

    sighting: Sighting
    refusal: str = ""
    """Why the source cannot be converted as its sidecar says; the job is to fail with that."""


class Sightings:
    """Makes sightings of one watch folder; may be used for one look at it, so that new settings count at the next."""

    def __init__(self, folder: FolderConfig) -> None:
        self._folder = folder
        self._hashes: dict[str, str] = {}
        self._treatments: dict[str, tuple[Treatment, bool, int, str]] = {}

    def of(self, candidate: Candidate) -> Seen:
        """Return the sighting of a candidate; one in `failed/` or `done/` is named as before it came there."""
        refusal = ""
        try:
            treatment, relative, priority, opts_hash = self._treated(candidate)
        except WatchConfigError as error:
            refusal = str(error)
            treatment, relative, priority = self._folder.treatment, _place(candidate), self._folder.priority
            opts_hash = self._hash_of(treatment)
        sighting = Sighting(
            kind=candidate.kind,
            folder=self._folder.name,
            source=self._folder.path / candidate.relative,
            relative=relative,
            output_folder=self._folder.output,
            treatment=treatment,
            opts_hash=opts_hash,
            stamp=candidate.stamp,
            priority=priority,
        )
        return Seen(sighting, refusal)

    def _treated(self, candidate: Candidate) -> tuple[Treatment, Path, int, str]:
        """What a candidate gets; without a sidecar that depends on its first folder alone."""
        path = _place(candidate)
        if candidate.sidecar is not None:
            sidecar = sidecar_of(self._folder.path / candidate.relative)
            treatment, relative, priority = treatment_for(self._folder, path, sidecar)
            return treatment, relative, priority, self._hash_of(treatment)
        top = path.parts[0] if len(path.parts) > 1 else ""
        if top not in self._treatments:
            treatment, relative, priority = treatment_for(self._folder, path, None)
            is_style = len(relative.parts) < len(path.parts)
            self._treatments[top] = treatment, is_style, priority, self._hash_of(treatment)
        treatment, is_style, priority, opts_hash = self._treatments[top]
        return treatment, Path(*path.parts[1:]) if is_style else path, priority, opts_hash

    def _hash_of(self, treatment: Treatment) -> str:
        key = json.dumps(dict(treatment.convert), sort_keys=True)
        if key not in self._hashes:
            self._hashes[key] = options_hash(treatment.convert, self._folder.output)
        return self._hashes[key]


def _place(candidate: Candidate) -> Path:
    """Where in the watch folder a candidate lies, or lay before we moved it."""
    path = Path(candidate.relative)
    return path.relative_to(path.parts[0]) if len(path.parts) > 1 and is_our_folder(path.parts[0]) else path
