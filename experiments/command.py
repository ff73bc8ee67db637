"""What the command of an experiment does: load, run, draw, print; on failure it prints one clear line."""

import sys
from pathlib import Path

import gradlog
from experiments import data, figures, runs


def _draw_scenarios(results, log_dir, path):
    return figures.draw(results, gradlog.read(log_dir), path)


def carry_out(name, asked_log_dir, load, run, tables, draw=_draw_scenarios):
    """Carries out an experiment for the command line.

    Args:
        name: String, of the experiment and its picture.
        asked_log_dir: String, the directory of the runs; if it holds runs already, a new one beside it is used.
        load: Function that returns the data; they have a `notice`.
        run: Function of a directory and the data that returns the results.
        tables: Function of the results that returns the tables to print.
        draw: Function of the results, the directory of the runs and a path that draws the picture there and returns
            the path. Defaults to curves of all scenarios.

    Returns:
        The exit code: 0; 2 where the data cannot be had or a directory cannot be written; 130 where Ctrl-C ended it.
    """
    screen, log_dir = runs.console(), Path(asked_log_dir)
    try:
        log_dir = runs.fresh_log_dir(asked_log_dir)
        loaded = load()
        if log_dir != Path(asked_log_dir):
            screen.print(f"{asked_log_dir} holds runs already, which are kept; these go to {log_dir}.")
        if loaded.notice:
            screen.print(f"[bold yellow]{loaded.notice}[/]")
        results = run(log_dir, loaded)
    except (data.DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"Stopped. What was logged until then is in {log_dir}.", file=sys.stderr)
        return 130
    figure = draw(results, log_dir, log_dir / f"{name}.png")
    for table in filter(None, tables(results)):
        screen.print(table)
    numbers = log_dir / "results.json"
    screen.print(f"Picture: {figure}\nNumbers: {numbers}")
    if any(log_dir.rglob("*tfevents*")):
        screen.print(f"Look at all of it: tensorboard --logdir {log_dir}")
    return 0
