"""A local inbox that stands in for Slack, PagerDuty, webhook and mail server: `python -m deploywatch.fakes.inbox`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click
from aiohttp import web

from deploywatch.errors import DeploywatchError
from deploywatch.fakes.http import Closing, application
from deploywatch.fakes.smtp import MailRules, listen
from deploywatch.fakes.store import Answer, ChannelName, Inbox, Received, Reply
from deploywatch.terminal import say

__all__ = ["Answer", "ChannelName", "Inbox", "MailRules", "Received", "Reply", "Serving", "main", "serving"]

Address = tuple[str, int]
LOOPBACK: Address = ("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Serving:
    """An inbox that answers: `url` of its HTTP side (no slash at the end), `smtp` as host:port (empty without mail)."""

    inbox: Inbox
    url: str
    smtp: str

    @property
    def slack_url(self) -> str:
        """What goes into a Slack channel's `base_url`."""
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        """What goes into a webhook channel's `url`."""
        return f"{self.url}/webhook"


@contextlib.asynccontextmanager
async def serving(
    inbox: Inbox,
    *,
    http: Address = LOOPBACK,
    smtp: Address | None = None,
    mail: MailRules | None = None,
    slack_token: str | None = None,
    webhook_secret: str | None = None,
) -> AsyncIterator[Serving]:
    """Serve the inbox until the block is left; port 0 takes a free one. Raises DeploywatchError, OSError."""
    closing = Closing()
    async with contextlib.AsyncExitStack() as stack:
        mail_address = ""
        # Mail first: when HTTP answers, all is ready.
        if smtp is not None:
            server = await listen(*smtp, inbox, closing, mail or MailRules())
            stack.callback(server.close)
            mail_address = _address(server.sockets[0].getsockname())
        app = application(inbox, closing, slack_token=slack_token, webhook_secret=webhook_secret)
        # Clients that are kept waiting on purpose would else hold up the end for a minute.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, *http).start()
        # Last in, first out: those who wait are let go before the server is asked to end.
        stack.callback(closing.event.set)
        yield Serving(inbox, f"http://{_address(runner.addresses[0])}", mail_address)


def _address(name: tuple[str, int]) -> str:
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_port(context: click.Context, parameter: click.Parameter, value: str | None) -> Address | None:
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not host:port, such as 127.0.0.1:8025", context, parameter)
    return host.strip("[]") or "127.0.0.1", int(port)


async def _run(http: Address, smtp: Address | None, folder: Path | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(Inbox(folder), http=http, smtp=smtp) as served:
        say(f"inbox at {served.url}/" + (f", mail at {served.smtp}" if served.smtp else ""))
        await stopped.wait()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--http", callback=_host_port, required=True, help="host:port for Slack, PagerDuty and the view.")
@click.option("--smtp", callback=_host_port, help="host:port for mail; without it there is no mail server.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep messages in inbox.jsonl there.")
def main(http: Address, smtp: Address | None, folder: Path | None) -> None:
    """Receive what would go to Slack, PagerDuty and by mail, until SIGTERM."""
    try:
        asyncio.run(_run(http, smtp, folder))
    except DeploywatchError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot listen or write: {error}") from error


if __name__ == "__main__":
    main()
