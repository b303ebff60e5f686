"""The log of a run as curves: losses by group, speed and learning rate, scores on held-out pictures.

matplotlib is imported when curves are drawn, with a back end that needs no display.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.style import write_atomically

from .disk import full_disk_told
from .errors import RunFolderError
from .journal import read_log

Curve = tuple[list[int], list[float]]
"""Steps, and the numbers at those steps; NaN breaks the line."""

_COLUMNS = 2
_PANEL_INCHES = (6.4, 3.4)
_MAX_POINTS = 400
_LOG_SPAN = 20.0
_SCORES = ("fid_", "kid_")


@dataclass
class Panel:
    """Curves that share their axes."""

    title: str
    curves: dict[str, Curve] = field(default_factory=dict)
    """By their names in the legend."""


def draw_curves(log_file: Path, picture_file: Path) -> None:
    """Draw the log of a run.

    Args:
        log_file: its `log.jsonl`.
        picture_file: the PNG; it appears when it is complete.

    Raises:
        RunFolderError: there is no log.
        OutOfSpaceError: the disk is full.
    """
    try:
        panels = build_panels(read_log(log_file))
    except OSError as error:
        raise RunFolderError(f"'{log_file}' cannot be read, so there are no curves: {error.strerror}.") from error
    with full_disk_told(picture_file, "everything but the curves is there"):
        write_atomically(picture_file, _drawn(panels, log_file.resolve().parent.name))


def build_panels(entries: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """Sort the numbers of a log into panels.

    Losses, `GROUP/NAME`, have a panel for each group, and one for their totals; scores have one for each measure and
    direction, with a curve for raw and one for averaged generators and the number of pictures in its title; learning
    rate and speed have theirs.

    Args:
        entries: as `journal.read_log` yields them.
    """
    panels: dict[str, Panel] = {}
    curves = _curves(entries)
    for name, curve in curves.items():
        placed = _place(name, curves)
        if placed is not None:
            title, label = placed
            panels.setdefault(title, Panel(title)).curves[label] = curve
    return sorted(panels.values(), key=lambda panel: _rank(panel.title))


def _curves(entries: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for entry in entries:
        for name, value in entry.items():
            if name != "step" and (value is None or isinstance(value, int | float)):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(entry["step"])
                values.append(math.nan if value is None else float(value))
    return curves


def _place(name: str, curves: Mapping[str, Curve]) -> tuple[str, str] | None:
    """Title of the panel and label of the curve for a number's name; None for one that is not drawn."""
    *groups, last = name.split("/")
    if last.startswith(_SCORES):
        is_drawn = len(groups) == 2 and not last.endswith("_std")
        return (f"{last} {groups[1]}{_counts(groups, curves)}", groups[0]) if is_drawn else None
    if groups == ["run"]:
        return (last.replace("_", " "), "") if last in ("learning_rate", "pictures_per_sec") else None
    if not groups or last.startswith("num_"):
        return None
    group = "/".join(groups)
    return ("losses, total", group) if last == "total" else (f"losses of the {group}", last)


def _counts(groups: Sequence[str], curves: Mapping[str, Curve]) -> str:
    """How many pictures are behind a score, as far as the log says so."""
    found = {kind: curves.get("/".join([*groups, f"num_{kind}"])) for kind in ("fake", "real")}
    texts = [f"{curve[1][-1]:.0f} {kind}" for kind, curve in found.items() if curve is not None]
    return f" ({', '.join(texts)})" if texts else ""


def _rank(title: str) -> tuple[int, str]:
    """Losses first, their totals before them, then scores, then how it ran."""
    kinds = ("losses,", "losses", *_SCORES)
    return next((number for number, kind in enumerate(kinds) if title.startswith(kind)), len(kinds)), title


def _drawn(panels: Sequence[Panel], title: str) -> bytes:
    """Draw panels in two columns; PNG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fonts and of deprecations within matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        rows = max(math.ceil(len(panels) / _COLUMNS), 1)
        figure = Figure(figsize=(_COLUMNS * _PANEL_INCHES[0], rows * _PANEL_INCHES[1]), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title if panels else f"{title}: nothing was logged")
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for panel, axis in zip(panels, axes, strict=False):
            _draw_panel(panel, axis)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def _draw_panel(panel: Panel, axis: Any) -> None:
    for index, (label, (steps, values)) in enumerate(sorted(panel.curves.items())):
        thin_steps, thin_values = _thinned(steps, values)
        marker = "." if len(thin_steps) < 25 else ""
        style = "-" if index < 10 else "--"  # matplotlib's colours come again after ten
        axis.plot(thin_steps, thin_values, style, marker=marker, linewidth=1.2, label=label)
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)
    if _spans_decades(panel):
        axis.set_yscale("log")
    if any(panel.curves):
        axis.legend(fontsize=7, ncols=2 if len(panel.curves) > 5 else 1)


def _thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Means of neighbours, so that a long run is a line and not a band; NaN where all of them are."""
    size = math.ceil(len(steps) / _MAX_POINTS) or 1
    chunks = [(steps[i : i + size], values[i : i + size]) for i in range(0, len(steps), size)]
    return [sum(s) / len(s) for s, _ in chunks], [_finite_mean(v) for _, v in chunks]


def _finite_mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _spans_decades(panel: Panel) -> bool:
    """Curves of very different size, all positive, are readable on a logarithmic axis only."""
    means = [_finite_mean(values) for _, values in panel.curves.values()]
    values = [value for _, curve in panel.curves.values() for value in curve if math.isfinite(value)]
    means = [mean for mean in means if math.isfinite(mean)]
    return bool(values) and min(values) > 0 and max(means) > _LOG_SPAN * min(means)
