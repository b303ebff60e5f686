"""The loop of a run: fetch, step, and what falls due after it. Orders the work; computes no loss and draws nothing."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from .data import TrainingData
from .distributed import Team
from .duties import Duties
from .errors import DivergenceError, TrainConfigError
from .interruption import Interruption
from .memory import lack_of_memory_told
from .plan import Plan, TrainResult
from .progress import Progress
from .run_folder import RunFolder
from .run_state import RunState, build_state, chances_untouched
from .snapshots import Snapshots
from .start import architecture_of, put_start

_logger = logging.getLogger(__name__)


def train(
    plan: Plan, data: TrainingData, team: Team, device: torch.device, precision: str, progress: Progress
) -> TrainResult:
    """Train from where a run stands to its end, or until somebody stops it.

    Args:
        plan: whose folder is there.
        data: what is trained on.
        team: the processes that share the run.
        device: of this process.
        precision: `fp32` or `bf16`.
        progress: told of every step.

    Raises:
        DivergenceError: too many steps in a row were skipped.
        OutOfMemoryError: a step did not fit.
        OutOfSpaceError: the disk is full.
        SnapshotError: the run cannot go on from any of its snapshots.
    """
    config, folder = plan.config, _folder_of(plan)

    # Set up, from first weights or from a snapshot
    snapshots = Snapshots(folder.snapshots, config.run.keep_snapshots)
    with lack_of_memory_told(config, precision, device):
        state = _resumed(plan, snapshots, team, device, precision)

    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        with chances_untouched(device):  # its networks for measuring are built at random first
            duties = stack.enter_context(Duties(plan, folder, state, data, snapshots, progress))
        batches = stack.enter_context(closing(data.batches(state.step)))
        progress.start(first_step=state.step, steps=config.run.steps, pictures_per_step=state.images_per_step)
        is_stopped = team.any(interruption.is_asked)
        while state.step < config.run.steps and not is_stopped:
            # Fetch
            fetched = next(batches)

            # Phases and averages
            with lack_of_memory_told(config, precision, device):
                duties.meter.add(state.advance(fetched))

            # Tick
            progress.advance(state.step)
            _stop_if_diverged(state, folder.path)
            duties.after_step()
            is_stopped = team.any(interruption.is_asked)

        # Done
        is_over = state.step >= config.run.steps
        duties.finish(is_over=is_over)
        return TrainResult(
            folder=folder.path,
            step=state.step,
            skipped_steps=int(state.stepper.num_skipped),
            is_interrupted=not is_over,
            scores=duties.scores,
            styles=duties.styles,
        )


def _resumed(plan: Plan, snapshots: Snapshots, team: Team, device: torch.device, precision: str) -> RunState:
    """Build a run's state: as its newest whole snapshot has it, or before the first step if there is none."""
    config = plan.config
    if not snapshots.steps():
        return build_state(config, team, device, precision, lambda networks: put_start(networks, config))
    content, info = snapshots.load_newest(architecture_of(config))
    if info.step > config.run.steps:
        raise TrainConfigError(f"--steps is {config.run.steps}, but {info.step} are done.")
    state = build_state(config, team, device, precision)
    state.restore(content)
    _logger.info("Going on after step %d.", info.step)
    return state


def _folder_of(plan: Plan) -> RunFolder:
    if plan.folder is None:
        raise ValueError("plan has no folder; make it before training.")
    return plan.folder


def _stop_if_diverged(state: RunState, folder: Path) -> None:
    """Raise after too many steps in a row that were skipped; asks a GPU only now and then."""
    run = state.config.run
    if state.device.type != "cpu" and state.step % min(run.log_every, run.max_bad_steps):
        return
    in_a_row = int(state.stepper.num_skipped_in_a_row)
    if in_a_row >= run.max_bad_steps:
        raise DivergenceError(
            f"{in_a_row} steps in a row up to step {state.step} gave gradients that are not finite. The snapshots are "
            f"from before: try `train --resume '{folder}' --precision fp32`, or begin a new run with "
            f"--start-from '{folder}' and a lower --learning-rate."
        )
