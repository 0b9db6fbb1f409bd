"""The `swarm` command: what make's targets call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.cli import opencode, processes
from services.cli import status as status_command
from services.cli import up as up_command
from services.cli.down import stop
from services.cli.state import Files
from services.cli.trial import trial_of
from services.common.errors import SwarmError
from services.common.settings import load

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# Paths and model names are text, whatever brackets and colons they have.
console = Console(soft_wrap=True, markup=False, emoji=False)


@app.command()
def up(
    model: Annotated[str | None, typer.Option(help="built-in, a .gguf, or hf:owner/repo:file.gguf")] = None,
    instances: Annotated[int | None, typer.Option(help="candidates that vote on a tool call")] = None,
    port: Annotated[int | None, typer.Option(help="gateway's port; the others follow")] = None,
    foreground: Annotated[bool, typer.Option(help="stay attached")] = False,
) -> None:
    """Start the swarm and return when it is ready."""
    settings = load({"model": model, "instances": instances, "port": port}).settings
    raise typer.Exit(up_command.up(settings, foreground=foreground, console=console))


@app.command()
def down() -> None:
    """Stop the swarm and everything it started."""
    settings = load().settings
    stopped = stop(Files(settings.home), settings.drain)
    console.print("The swarm is down." if stopped else "No swarm was running.")


@app.command()
def status() -> None:
    """Show processes, workers and models."""
    raise typer.Exit(status_command.status(load().settings, console))


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="one service; empty: all")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as lines come")] = False,
) -> None:
    """Print the services' logs."""
    files = Files(load().settings.home)
    names = [each.name for each in processes.load()] + ["supervisor"]
    if service and service not in names:
        console.print(f"No service is called {service}; there are {', '.join(names)}.")
        raise typer.Exit(2)
    paths = [str(files.log(name)) for name in names if not service or name == service]
    existing = [path for path in paths if Path(path).exists()]
    if not existing:
        console.print(f"No logs in {files.logs} yet.")
        raise typer.Exit(1)
    command = ["tail", "-n", "200", *(["-F"] if follow else []), *existing]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command()
def config() -> None:
    """Show every setting, where its value comes from, and what it means."""
    loaded = load()
    table = Table("key", "value", "from", "meaning")
    for key, value in loaded.settings.model_dump(mode="json").items():
        meaning = type(loaded.settings).model_fields[key].description or ""
        table.add_row(key, "" if value is None else str(value), loaded.origin[key], meaning)
    console.print(table)


@app.command(
    # The module behind it knows the options: services do not lend their code to the command.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def parse(context: typer.Context) -> None:
    """Show what becomes of a model's raw output: parse --format NAME [--tools FILE.json] < text."""
    command = [sys.executable, "-m", "services.inference_worker.chat", *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command(
    name="eval",
    # As with `parse`.
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def evaluate(context: typer.Context) -> None:
    """Measure what voting does to accuracy: on simulated voters with --simulated, else on a running model."""
    if "--simulated" in context.args:
        command = [sys.executable, "-m", "services.consensus.evaluation", *context.args]
    else:
        settings = load().settings
        running = Files(settings.home).running()
        if running is None and not {"--worker", "--help"} & set(context.args):
            console.print("No swarm is up: `make up` first, or name a worker with --worker host:port.")
            raise typer.Exit(1)
        found = trial_of(settings.home, running)
        command = [sys.executable, "-m", "services.consensus.trial", *found, *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command(name="opencode")
def opencode_command(
    show: Annotated[bool, typer.Option("--print", help="print the configuration, write nothing")] = False,
) -> None:
    """Write an opencode.json for this swarm beside its state, and say how to use it."""
    settings = load().settings
    running = Files(settings.home).running()
    # Where it listens, not where the configuration of this moment would have it listen.
    url = f"http://{running.gateway if running else settings.address('gateway')}/v1"
    models = opencode.served_models(url)
    if not models:
        console.print(f"No swarm answers at {url}: `make up` first.")
        raise typer.Exit(1)
    if show:
        print(json.dumps(opencode.config(url, models), indent=2))
        return
    path = opencode.write(settings.home, url, models)
    console.print(
        f"Written: {path} (your own OpenCode configuration is untouched)\n"
        f"Use it:  OPENCODE_CONFIG={path} opencode"
    )


def main() -> None:
    """Entry point: a SwarmError is a sentence, not a traceback."""
    try:
        app()
    except SwarmError as error:
        print(f"swarm: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
