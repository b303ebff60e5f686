"""The command `dashboard`: parse, check, serve; and how the daemon starts it beside itself.

The server and its libraries are imported when it runs; what it shows is dashboard/'s matter.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import DashboardError
from .find_table import state_folder, table_options

if TYPE_CHECKING:
    from .dashboard.settings import DashboardSettings

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "UGATIT_DASHBOARD_TOKEN"
"""Environment variable for the token: other users of the machine see command lines, not environments."""
_PARENT_VARIABLE = "UGATIT_DASHBOARD_PARENT"
_ROOT = Path(__file__).parents[1]


@click.command()
@table_options()
@click.option(
    "--bind",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where to listen; `:8080` is this machine only, `0.0.0.0:8080` all networks.",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar=TOKEN_VARIABLE,
    help=f"Ask visitors for this; better given as {TOKEN_VARIABLE}. One is made up where others can reach the page.",
)
@click.option("--allow-actions", is_flag=True, help="Offer retry, cancel, hold and pause; else the page is read only.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A further name this server is reached by, as behind a proxy; can be given again.",
)
@click.pass_context
def dashboard(
    context: click.Context,
    output: Path | None,
    state_dir: Path | None,
    bind: str,
    token: str | None,
    allow_actions: bool,
    hosts: tuple[str, ...],
) -> None:
    """Show the jobs of a watch as a page in the browser.

    It needs no internet, and works whether the watch is running or not.

    \b
    Examples:
      dashboard -o OUT                          http://127.0.0.1:8080/, read only
      dashboard -o OUT --allow-actions          with buttons
      dashboard -o OUT --bind 0.0.0.0:8080      for other machines too: prints a token
    """  # noqa: D301
    from .dashboard.settings import DashboardSettings, parse_bind, secured

    host, port = parse_bind(bind)
    folder = state_folder(output, state_dir)
    settings = secured(
        DashboardSettings(folder, host, port, token, allow_actions=allow_actions, hosts=frozenset(hosts))
    )
    is_json = bool(getattr(context.find_root().obj, "json", False))
    _serve(settings, is_new_token=token is None, is_json=is_json)


def start_dashboard(
    state_dir: Path, bind: str, *, token: str | None = None, allow_actions: bool = False
) -> subprocess.Popen[bytes]:
    """Start the status page as a process of its own, which ends with this one; for `watch --dashboard`.

    It may be started before there is a job table. SIGTERM ends it; so does the death of the caller.

    Args:
        state_dir: folder of the job table.
        bind: where to listen, as `--bind` takes it.
        token: as `--token`; None takes that of the environment, or makes one up where it is needed.
        allow_actions: as `--allow-actions`.

    Raises:
        DashboardError: `bind` or `token` cannot be used. That the port is taken is told by the process itself, which
            ends with code 1.
    """
    from .dashboard.settings import DashboardSettings, parse_bind, secured

    host, port = parse_bind(bind)
    secured(DashboardSettings(state_dir, host, port, token, allow_actions=allow_actions))
    arguments = ["--state", os.fspath(state_dir.absolute()), "--bind", bind]
    arguments += ["--allow-actions"] if allow_actions else []
    paths = os.pathsep.join(filter(None, [os.fspath(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, _PARENT_VARIABLE: str(os.getpid())}
    environment |= {TOKEN_VARIABLE: token} if token else {}
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.dashboard", *arguments],
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the daemon, which stays to be looked at while it drains
    )


def main() -> None:
    """Serve as the daemon's child; options as `start_dashboard` gives them."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m jobs.dashboard")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--allow-actions", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    from .dashboard.settings import DashboardSettings, parse_bind, secured

    token = os.environ.get(TOKEN_VARIABLE) or None
    parent = os.environ.pop(_PARENT_VARIABLE, "")
    try:
        host, port = parse_bind(given.bind)
        settings = secured(DashboardSettings(given.state, host, port, token, allow_actions=given.allow_actions))
        _serve(settings, is_new_token=token is None, parent=int(parent) if parent.isdigit() else None)
    except DashboardError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from error


def _serve(
    settings: DashboardSettings, *, is_new_token: bool, is_json: bool = False, parent: int | None = None
) -> None:
    from .dashboard.server import serve

    def tell(address: str) -> None:
        token = settings.token if is_new_token else None
        line = f"Status page: {address}" + (f"?token={token}" if token else "")
        click.echo(json.dumps({"address": address, "token": token}) if is_json else line, err=parent is not None)
        if not settings.is_loopback:
            click.echo("Other machines can reach it, and what it sends is not encrypted.", err=True)

    serve(settings, tell, parent)
