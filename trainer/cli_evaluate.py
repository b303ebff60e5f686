"""The command `evaluate`: parse, call, print; evaluation.py does the work. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import some_train_options


@click.command()
@click.argument("style", metavar="STYLE")
@click.argument("data", type=click.Path(path_type=Path, file_okay=False), metavar="DATA")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("evaluation.png"),
    show_default=True,
    metavar="PNG",
    help="Grid of held-out pictures and what the style makes of them.",
)
@click.option(
    "--direction",
    type=click.Choice(["a2b", "b2a"]),
    default="a2b",
    show_default=True,
    help="What the style translates: testA to look like testB, or the other way.",
)
@click.option(
    "--limit", type=click.IntRange(min=2), default=1000, show_default=True, help="Most pictures of each folder."
)
@some_train_options("run", "device", "precision", "features")
@click.pass_context
def evaluate(
    context: click.Context,
    style: str,
    data: Path,
    output: Path,
    direction: str,
    limit: int,
    device: str,
    precision: str,
    features: str,
) -> None:
    """Measure a style on pictures that it was not trained on.

    STYLE is the name of a built-in style or a style file, DATA holds testA/ (photographs) and testB/ (the style).
    Shown are FID and KID between what the style makes of testA and testB, KID also as the mean over both domains, the
    same for photographs left as they are, the number of pictures behind them, and the time for a picture. Scores of
    different features, or of different numbers of pictures, cannot be compared.

    \b
    Examples:
      evaluate toon faces/
      evaluate runs/00003-faces/style.safetensors faces/ -o grid.png
      evaluate runs/00003-faces/style_b2a.safetensors faces/ --direction b2a
    """  # noqa: D301
    from model.style import write_atomically

    from .evaluation import evaluate_style
    from .grid import to_png

    evaluation = evaluate_style(
        style, data, direction=direction, features=features, device=device, precision=precision, limit=limit
    )
    if context.find_root().obj.json:
        click.echo(json.dumps({"ok": True, **evaluation.figures, "grid": str(output)}))
    else:
        click.echo("\n".join(evaluation.lines()))
    try:
        write_atomically(output, to_png(evaluation.grid))
    except OSError as error:
        raise click.ClickException(f"the grid cannot be written to '{output}': {error.strerror}.") from error
    if not context.find_root().obj.json:
        click.echo(f"Grid: {output}")
