"""`turnout console`: a link to the console that signs a browser in, once."""

from __future__ import annotations

from control.cli.client import Api, console
from control.cli.output import Server


def console_link(server: Server = "") -> None:
    """Print a link that opens the console signed in; it works once, within an hour."""
    api = Api(server)
    code = api.call("POST", ("session", "codes"))["code"]
    console.print(link(api.server, code), soft_wrap=True)


def link(server: str, code: str) -> str:
    """The console's address with a code.

    Behind the `#` it is not sent: it stands in no log and no Referer, and the page takes it out of
    the address before it uses it.
    """
    return f"{server}/#code={code}"
