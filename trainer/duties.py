"""What falls due after a step: log, preview, evaluation, snapshot; and at the end styles and curves.

Every process asks, because some of it is gathered from all; the main one alone writes.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import TracebackType
from typing import Self

from model.style import write_atomically

from .curves import draw_curves
from .data import TrainingData
from .disk import full_disk_told
from .evaluation import Evaluator
from .export import Origin, write_styles
from .features import load_features
from .grid import to_png
from .held_out import HeldOut
from .journal import Journal
from .meter import LossMeter
from .networks import DIRECTIONS
from .plan import Plan
from .previews import draw_preview
from .progress import Progress
from .run_folder import RunFolder
from .run_state import RunState, chances_untouched
from .snapshots import Snapshots
from .start import architecture_of

_logger = logging.getLogger(__name__)

NUM_PREVIEWED = 4
"""Held-out pictures of each domain in a preview."""


class Duties:
    """A run's duties; a context manager that holds its journal."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        state: RunState,
        data: TrainingData,
        snapshots: Snapshots,
        progress: Progress,
    ) -> None:
        self.scores: dict[str, float] = {}
        """Figures of the last evaluation."""
        self.meter = LossMeter(state.device)
        """Takes the losses of every step."""
        self._config, self._folder, self._state = plan.config, folder, state
        self._snapshots, self._progress = snapshots, progress
        self._is_main = state.team.is_main
        self._origin = Origin(folder.path.name, plan.data.resolve().name, data.num_a, data.num_b)
        self._held_out = HeldOut(plan.data, plan.config.networks.image_size_px) if self._is_main else None
        self._evaluator: Evaluator | None = None
        if self._held_out is not None and self._held_out.has_tests:
            # Now, since weights that cannot be fetched shall stop a run at its beginning, not in its middle.
            self._evaluator = Evaluator(self._held_out, load_features(plan.config.run.features, state.device))
        self._journal: Journal | None = None
        self._saved_step = self._logged_step = state.step  # what was resumed from is on the disk
        self._shown_step = self._scored_step = -1

    def __enter__(self) -> Self:
        if self._is_main:
            self._journal = Journal(self._folder.path, self._state.step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()

    def after_step(self) -> None:
        """Do what falls due at the step that was just taken."""
        run, step = self._config.run, self._state.step
        if step % run.log_every == 0:
            self._log()
        if step % run.preview_every == 0:
            self._preview()
        if run.evaluate_every and step % run.evaluate_every == 0:
            self._evaluate()
        if step % run.snapshot_every == 0:
            self._save()

    def finish(self, *, is_over: bool) -> None:
        """Leave the run so that it can go on or, if it is over, with everything that it was made for."""
        if self._logged_step != self._state.step:
            self._log()
        if is_over and self._shown_step != self._state.step:
            self._preview()
        if is_over and self._scored_step != self._state.step:
            self._evaluate()
        if self._saved_step != self._state.step:
            self._save()
        if is_over and self._is_main:
            self._conclude()
        self._state.team.wait()

    def _log(self) -> None:
        self._logged_step = self._state.step
        losses = self.meter.take(self._state.team)
        if self._journal is None:
            return
        state = self._state
        self._progress.tell({name: value for name, value in losses.items() if name.endswith("/total")})
        self._journal.tick(
            state.step,
            losses
            | {
                "run/kimg": state.step * state.images_per_step / 1000,
                "run/learning_rate": state.learning_rate,
                "run/pictures_per_sec": self._progress.pictures_per_sec,
                "run/skipped_steps": float(state.stepper.num_skipped),
            },
        )

    def _preview(self) -> None:
        self._shown_step = self._state.step
        if self._held_out is None or self._journal is None:
            return
        state, held_out = self._state, self._held_out
        with chances_untouched(state.device):
            picture = draw_preview(
                state.networks.generators,
                state.averages.generators,
                held_out.pictures_a[:NUM_PREVIEWED],
                held_out.pictures_b[:NUM_PREVIEWED],
                names_a=held_out.names_a,
                names_b=held_out.names_b,
            )
        path = self._folder.previews / f"step-{state.step:08d}.png"
        with full_disk_told(path, "the snapshots made so far are whole"):
            write_atomically(path, to_png(picture))
        self._journal.picture("preview", picture, state.step)

    def _evaluate(self) -> None:
        """Measure; write the styles and a snapshot if the figures are the best so far."""
        self._scored_step = self._state.step
        score: float | None = None
        if self._evaluator is not None and self._journal is not None:
            self.scores, score = self._measure(self._evaluator)
            self._journal.tick(self._state.step, self.scores)
        score = self._state.team.shared(score if score is None or math.isfinite(score) else None)
        best = self._snapshots.best()
        if score is not None and (best is None or best.score is None or score <= best.score):
            if self._is_main:
                self._write_styles("")
            self._save(score)

    def _measure(self, evaluator: Evaluator) -> tuple[dict[str, float], float | None]:
        """Figures of the averaged and the raw generators by name, and the one that chooses the best."""
        state = self._state
        with chances_untouched(state.device):
            found = {
                "averaged": evaluator.scores(state.averages.generators),
                "raw": evaluator.scores(state.networks.generators),
            }
        scores = {f"{kind}/{name}": score for kind, figures in found.items() for name, score in figures.items()}
        return scores, scores.get(f"averaged/{evaluator.chooses_by}")

    def _save(self, score: float | None = None) -> None:
        """Write a snapshot, once a step."""
        if self._saved_step == self._state.step and score is None:
            return
        self._saved_step = self._state.step
        content = self._state.content()
        if self._is_main:
            self._snapshots.save(content, self._state.step, architecture_of(self._config), score)

    def _write_styles(self, suffix: str) -> None:
        files = {d.name: self._folder.style_file(d.name, suffix) for d in DIRECTIONS}
        write_styles(self._state.averages, self._config, self._origin, files, self._state.step, self.scores)

    def _conclude(self) -> None:
        """Write the styles of the last step, beside the best ones if those are of another, and the curves."""
        best = self._snapshots.best()
        is_best = best is None or best.step == self._state.step
        self._write_styles("" if is_best else "_last")
        draw_curves(self._folder.log_file, self._folder.curves_file)

    @property
    def styles(self) -> dict[str, Path]:
        """Style files that are there, by direction."""
        files = {d.name: self._folder.style_file(d.name) for d in DIRECTIONS}
        return {direction: path for direction, path in files.items() if path.is_file()}
