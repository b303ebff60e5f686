"""Small forms as browsers send them, read with a limit."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

MOST_BYTES = 8192


async def read_form(request: Request) -> dict[str, str] | None:
    """Return the fields of a posted form, the last of each name; None for what is no form, or too long a one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=16)
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}


def own_path(path: str) -> str:
    """Return a path to go back to after a form: one of this server's, whatever the form says."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isascii() and path.isprintable()
    return path if is_ours else "/"
