"""The command `gradlog`: what it understands, and which module does it.

Exit codes: 0 clean, 1 findings (of `gradlog diagnose` alone), 2 cannot; 130 interrupted, 141 nobody reads any more.
"""

import argparse
import os
import re
import sys

from gradlog import __version__
from gradlog.commands import console

CLEAN, FINDINGS, CANNOT, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141

_STEPS = re.compile(r"(\d*):(\d*)|(\d+)")
_EXIT_CODES = "exit codes: 0 done, 2 cannot (one line on standard error says why)"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: List of strings. Defaults to those that the program was called with.

    Returns:
        The exit code.
    """
    _prepare_streams()
    try:
        options = _parser().parse_args(arguments)
        code = options.command(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _drop_output()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _cannot(error)


def _prepare_streams():
    """Makes sure that printing does not fail: where a stream was closed, or a terminal cannot show a letter."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")


def _drop_output():
    """Leaves what could not be printed; Python would try again as it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cannot(error):
    """Says in one line what was wrong; a failure that nobody foresaw shows where, under `python -X dev`."""
    from gradlog.commands.selection import CannotError

    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename!r}" if error.filename else f"cannot print: {error.strerror}"
        if not error.filename:
            _drop_output()
    elif not isinstance(error, (CannotError, OSError)):
        if sys.flags.dev_mode:
            raise error
        text = f"gradlog itself failed ({type(error).__name__}: {text}); `python -X dev -m gradlog` shows where"
    print(f"{console.colored('error:', 'red', sys.stderr)} {text}", file=sys.stderr)
    return CANNOT


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what it does not understand."""

    def error(self, message):
        print(f"{console.colored('error:', 'red', sys.stderr)} {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(CANNOT)


def _parser():
    parser = _Parser(
        prog="gradlog",
        description="Says how gradients flowed through the runs below a directory that gradlog logged to.",
        epilog="`gradlog COMMAND --help` shows examples.",
    )
    parser.add_argument("--version", action="version", version=f"gradlog {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_summary, _add_diagnose, _add_plot, _add_export):
        add(commands)
    return parser


def _add_summary(commands):
    _add(
        commands,
        "summary",
        _summary,
        "runs side by side: steps, loss, accuracy, gradients of the first and last kernel, findings",
        [
            "gradlog summary logs",
            "gradlog summary logs --runs 'relu|sigmoid' --steps 0:1000",
            "gradlog summary logs --json",
        ],
    )


def _add_diagnose(commands):
    _add(
        commands,
        "diagnose",
        _diagnose,
        "what is wrong in the runs, worst first, and what to try",
        [
            "gradlog diagnose logs",
            "gradlog diagnose logs/relu --steps 500:",
            "gradlog diagnose logs --json > findings.json",
            "gradlog diagnose torch_logs --tag 'gradient=gradients/{variable}' --tag train/loss=Loss/train",
        ],
        "exit codes: 0 no findings, 1 findings, 2 cannot (one line on standard error says why)",
    )


def _add_plot(commands):
    parser = _add(
        commands,
        "plot",
        _plot,
        "one figure: gradient by depth, layer x step heat maps, update ratios, activations",
        ["gradlog plot logs -o gradients.png", "gradlog plot logs -o relu.pdf --runs relu --variables kernel"],
    )
    _add_output(parser, "PNG, SVG or PDF, by the ending")


def _add_export(commands):
    parser = _add(
        commands,
        "export",
        _export,
        "a long table (run, step, variable, statistic, value), and the histograms",
        ["gradlog export logs -o gradients.csv", "gradlog export logs -o gradients.parquet --variables 'layer1/'"],
    )
    _add_output(parser, ".csv or .parquet, with histograms in a second file beside it, or .json, by the ending")


def _add_output(parser, kinds):
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help=f"file to write: {kinds}")


def _add(commands, name, command, text, examples, exit_codes=_EXIT_CODES):
    """Adds a command with what all of them understand."""
    lines = "\n".join(f"  {example}" for example in examples)
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"examples:\n{lines}\n\n{exit_codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log_dir", metavar="LOGDIR", help="directory of a run, or one above several")
    parser.add_argument("--runs", type=_pattern, metavar="REGEX", help="only runs in whose name this is found")
    parser.add_argument(
        "--variables", type=_pattern, metavar="REGEX", help="only variables in whose name this is found"
    )
    parser.add_argument("--steps", type=_steps, metavar="A:B", default=(None, None), help=_STEPS_HELP)
    parser.add_argument("--tag", type=_tag, action="append", metavar="NAME=PATTERN", help=_TAG_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parser.set_defaults(command=command)
    return parser


_TAG_HELP = (
    "how a log that gradlog did not write calls something, as in gradient_norm=grads/{variable} or train/loss=Loss; "
    "may be given several times"
)
_STEPS_HELP = "only steps from A to B, both included; either may be left out, and N alone is one step"


def _pattern(text):
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"expected a regular expression ({error}), received {text!r}") from error


def _tag(text):
    name, equals, pattern = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=PATTERN, as in gradient=grads/{{variable}}, received {text!r}")
    return name, pattern


def _steps(text):
    match = _STEPS.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected A:B, A:, :B or one step, as in 0:1000, received {text!r}")
    first, last, only = match.groups()
    first, last = (int(end) if end else None for end in ((only, only) if only else (first, last)))
    if None not in (first, last) and first > last:
        raise argparse.ArgumentTypeError(f"expected A:B with A not above B, received {text!r}")
    return first, last


def _chosen(options):
    from gradlog.commands.selection import Selection

    return Selection(options.runs, options.variables, options.steps, dict(options.tag) if options.tag else None)


def _summary(options):
    from gradlog.commands import diagnose, selection, summary

    chosen = _chosen(options)
    runs = selection.read_whole(options.log_dir, chosen)
    shown = selection.with_variables(selection.within_steps(runs, chosen), chosen)
    summary.show(shown, diagnose.findings(runs, chosen), options.json)
    return CLEAN


def _diagnose(options):
    from gradlog.commands import diagnose, selection

    chosen = _chosen(options)
    runs = selection.read_whole(options.log_dir, chosen)
    selection.with_variables(selection.within_steps(runs, chosen), chosen)  # says so where there is nothing chosen
    return FINDINGS if diagnose.show(runs, diagnose.findings(runs, chosen), options.json) else CLEAN


def _plot(options):
    from gradlog.commands import plot, selection

    plot.check(options.output)
    chosen = _chosen(options)
    runs = selection.with_variables(selection.read(options.log_dir, chosen), chosen)
    receipt = plot.save(runs, options.output)
    print(console.json_text(receipt) if options.json else f"Written: {receipt['file']}")
    return CLEAN


def _export(options):
    from gradlog.commands import export, selection

    export.check(options.output)
    chosen = _chosen(options)
    runs = selection.with_variables(selection.read(options.log_dir, chosen), chosen)
    receipt = export.save(runs, options.output)
    if options.json:
        print(console.json_text(receipt))
    else:
        print(
            "\n".join(f"Written: {each['file']} ({each['rows']:,} rows of {each['what']})" for each in receipt["files"])
        )
    return CLEAN
