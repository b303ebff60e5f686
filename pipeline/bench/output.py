"""Where results of benchmarks go: the terminal, a JSON or Markdown file, a chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..publish import check_absent, make_output_folder, write_text

if TYPE_CHECKING:
    from .sections import BenchResult, SectionResult

_FILE_WIDTH = 140


def check_output(path: Path, suffixes: tuple[str, ...], option: str, *, overwrite: bool) -> None:
    """Refuse a file before anything is measured for it.

    Raises:
        BadParameter: it ends otherwise.
        OutputExistsError: it is there, and must not be replaced.
    """
    if path.suffix.lower() not in suffixes:
        wrong = (
            f"ends neither in {' nor in '.join(suffixes)}" if len(suffixes) > 1 else f"does not end in {suffixes[0]}"
        )
        raise click.BadParameter(f'"{path.name}" {wrong}.', param_hint=option)
    check_absent(path, overwrite=overwrite)


def write_result(path: Path, result: BenchResult, *, overwrite: bool) -> None:
    """Write a result as JSON or Markdown, as its name says."""
    from .sections import to_markdown

    is_json = path.suffix.lower() == ".json"
    text = json.dumps(result.to_json(), indent=2, default=str) + "\n" if is_json else to_markdown(result)
    make_output_folder(path.absolute().parent)
    write_text(path, text, overwrite=overwrite)


def write_chart(path: Path, result: BenchResult) -> None:
    """Draw a result into a PNG; see speed/chart.py."""
    from .speed.chart import draw_chart

    make_output_folder(path.absolute().parent)
    draw_chart(result, path)


def print_section(section: SectionResult) -> None:
    """Show one section as tables for a person."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(markup=False, highlight=False)
    if not console.is_terminal:  # a file or a pipe: nothing is gained by breaking lines
        console = Console(markup=False, highlight=False, width=_FILE_WIDTH)
    console.print(f"\n{section.title} ({section.secs:.0f} s)", style="bold")
    console.print(section.about)
    if section.error:
        click.echo(f"FAILED {section.name}: {section.error}", err=True)
    for table in section.tables:
        shown = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(table.columns):
            shown.add_column(column, justify="left" if number == 0 else "right")
        for row in table.text():
            shown.add_row(*row)
        console.print(shown)
        if table.note:
            console.print(table.note, style="dim")
