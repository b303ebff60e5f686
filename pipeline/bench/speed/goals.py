"""What the project has set itself, beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..sections import Cell, Figure, Table, cpu_features
from .run import SpeedBench

_LEVELS = 127.5  # of 255, per unit of [-1, 1]


@dataclass(frozen=True)
class Goal:
    """One line of the list."""

    what: str
    """For people."""
    figure: str
    """Name of the figure that answers it."""
    goal: float
    """To be reached."""
    stretch: float | None = None
    """Better still."""
    unit: str = "x"
    """Of the numbers."""
    is_most: bool = False
    """The numbers are upper bounds."""
    needs: str = ""
    """`AMX` or `GPU`: what the goal was set for; elsewhere the figure is shown and judged by nobody."""

    def is_met(self, value: float, bound: float | None) -> bool:
        """Tell whether a value keeps a bound."""
        return bound is not None and (value <= bound if self.is_most else value >= bound)

    def bound_text(self, bound: float | None) -> str:
        """For the table."""
        return "" if bound is None else f"{'<=' if self.is_most else '>='} {bound:g} {self.unit}"


GOALS: tuple[Goal, ...] = (
    Goal(
        "generator, 64 channels, bf16, against public code", "generator/64/openvino bf16/x public", 8, 10, needs="AMX"
    ),
    Goal("the same at 32 channels", "generator/32/openvino bf16/x public", 7.5, 9, needs="AMX"),
    Goal("bf16, built-in style: mean error", "generator/32/openvino bf16/mean error", 0.25, None, "levels", True),
    Goal("bf16, built-in style: largest error", "generator/32/openvino bf16/max error", 4, None, "levels", True),
    Goal("bf16, built-in style: PSNR", "generator/32/openvino bf16/PSNR", 55, None, "dB"),
    Goal("exact fp32 engine, 64 channels, against public code", "generator/64/openvino fp32/x public", 1.4, 1.6),
    Goal("exact fp32 engine, 32 channels, against public code", "generator/32/openvino fp32/x public", 1.4, 1.6),
    Goal(
        "exact fp32 engine: largest error",
        "generator/32/openvino fp32/max error",
        1e-4 * _LEVELS,
        None,
        "levels",
        True,
    ),
    Goal("int8 against bf16, 32 channels", "generator/32/openvino int8/x bf16", 1.4, 1.8, needs="AMX"),
    Goal("int8, real crops: PSNR", "generator/32/openvino int8/PSNR", 40, None, "dB"),
    Goal("everything but the generator, 720p", "whole/720p/1/identity/ms", 11, 9, "ms", True),
    Goal("the same against ffmpeg's transcode", "whole/720p/1/identity/% of ffmpeg", 70, 80, "%"),
    Goal("first pass at 720p", "whole/720p/1/identity/analyse fps", 150, None, "fps"),
    Goal("end to end 720p, 32 channels, against public", "whole/720p/1/32/x public", 6, 7, needs="AMX"),
    Goal("end to end 720p, 64 channels, against public", "whole/720p/1/64/x public", 7, 9, needs="AMX"),
    Goal("end to end 720p, 32 channels", "whole/720p/1/32/fps", 30, 39, "fps", needs="AMX"),
    Goal("warm start to first frame", "start/warm/first frame", 3, None, "s", True),
    Goal("peak memory at 1080p", "memory/1080p/long", 1200, None, "MB", True),
    Goal("peak memory of a clip three or more times as long", "memory/1080p/growth", 1.1, None, "x", True),
    Goal("64 channels, batch 32 on a GPU", "nvidia/64/best bf16/batch 32/crops", 1500, None, "crops/s", needs="GPU"),
    Goal("its share of the bf16 matrix rate", "nvidia/64/best bf16/batch 32/share", 45, None, "%", needs="GPU"),
)
"""In the order of the table."""


def measure(bench: SpeedBench) -> list[Table]:
    """The table of the section `goals`."""
    figures = {figure.name: figure for figure in bench.figures}
    here = {
        "AMX": "AMX bf16" in cpu_features() and bench.device == "cpu",
        "GPU": bench.device.startswith("cuda"),
        "": True,
    }
    rows = tuple(_row(goal, figures.get(goal.figure), here) for goal in GOALS)
    note = (
        "Goals were set for a CPU with two cores and AMX. `needs AMX`, `needs GPU`: nothing can be met or missed on "
        "this machine; the figure is what it does. Not measured: its section or size was left out."
    )
    return [Table("Goals", ("what", "goal", "stretch", "here", "verdict"), rows, note)]


def _row(goal: Goal, figure: Figure | None, here: Mapping[str, bool]) -> tuple[Cell, ...]:
    bounds = goal.bound_text(goal.goal), goal.bound_text(goal.stretch)
    value = None if figure is None else f"{figure.value:.4g} {goal.unit}"
    return (goal.what, *bounds, value, verdict(goal, figure, here))


def verdict(goal: Goal, figure: Figure | None, here: Mapping[str, bool]) -> str:
    """Judge a goal by its figure, where there is one and the machine is of the kind that it was set for."""
    if not here[goal.needs]:
        return f"needs {goal.needs}"
    if figure is None:
        return "not measured"
    if goal.is_met(figure.value, goal.stretch):
        return "met, stretch too"
    return "met" if goal.is_met(figure.value, goal.goal) else "NOT MET"
