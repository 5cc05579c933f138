"""The `deploywatch` command; each subcommand imports its part only when it is called."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence

import click

from deploywatch import __version__
from deploywatch.errors import DeploywatchError
from deploywatch.terminal import say

# name: (module, what `deploywatch --help` says)
COMMANDS = {
    "exporter": ("deploywatch.exporter.commands", "Probe the system and expose what was found as metrics."),
    "check": ("deploywatch.exporter.commands", "Probe once, print the results, and exit 1 when something is not well."),
    "load": (
        "deploywatch.exporter.load.commands",
        "Load a service for a while: percentiles, errors, and a baseline to compare with.",
    ),
    "ports": (
        "deploywatch.exporter.ports.commands",
        "Find ports that two services claim, or that the registry gives to another.",
    ),
    "rules": (
        "deploywatch.grafana.commands",
        "Build Prometheus rules, their tests, routes, runbooks and dashboards from policies.",
    ),
    "receiver": ("deploywatch.receiver.commands.server", "Take Alertmanager's webhook and run the incident."),
    "incidents": (
        "deploywatch.receiver.commands.incidents",
        "List, show and handle incidents; print a post-mortem draft.",
    ),
    "oncall": ("deploywatch.receiver.commands.people", "Say who is on call."),
    "maintenance": ("deploywatch.receiver.commands.people", "Hold actions and messages back for a while."),
    "audit": ("deploywatch.receiver.commands.people", "List who changed what."),
    "screens": ("deploywatch.receiver.commands.people", "Give screens a link to the wall, and take it away."),
    "deployments": (
        "deploywatch.receiver.commands.deployments.ledger",
        "Tell the receiver that a deployment started or finished; list them.",
    ),
    "migrate": (
        "deploywatch.receiver.commands.migrate",
        "Migrate a service's database: backup, one transaction, validation inside it.",
    ),
    "store": ("deploywatch.receiver.commands.store", "Migrate the receiver's store; back it up, and restore it."),
    "render": ("deploywatch.receiver.commands.server", "Show a notification as it would be sent."),
    "demo": (
        "deploywatch.demo.commands",
        "Run everything at once on this machine, with a deployment that goes wrong.",
    ),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # At the call: all parts together take a second to import, and `--help` or a pipeline's one command should not
        # wait for it.
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="deploywatch")
def cli() -> None:
    """From probe to post-mortem: is the system healthy after a deployment, and who or what acts when it is not?

    Exit codes: 0 all well; 1 the thing checked is not well; 2 usage or configuration error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; errors for the operator are printed without a traceback."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="deploywatch",
            # click would print and exit by itself; our errors have exit codes of their own.
            standalone_mode=False,
        )
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        say(usage.getvalue(), err=True, nl=False)
        code = 2
    except DeploywatchError as error:
        say(f"deploywatch: {error}" if "\n" not in str(error) else str(error), err=True)
        code = error.exit_code
    except OSError as error:
        # A file that an option names: whoever reads or writes it earlier says more.
        if error.filename is None:
            raise
        say(f"deploywatch: {error.filename}: {error.strerror}", err=True)
        code = 2
    except (click.Abort, KeyboardInterrupt):
        say("interrupted", err=True)
        # As a shell counts: 128 and the number of SIGINT.
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
