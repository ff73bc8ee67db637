"""The command `gradlog`: parses arguments and calls the module of each subcommand.

Exit codes: 0 success, 1 findings (only `gradlog diagnose`), 2 error, 130 interrupted, 141 output pipe closed.
"""

import argparse
import os
import sys

from gradlog import __version__
from gradlog.commands import argument_types, console

CLEAN, FINDINGS, ERROR, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141

_EXIT_CODES = "exit codes: 0 success, 2 error (one line on standard error)"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: List of strings. Defaults to the command line of this process.

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
        return _report_error(error)


def _prepare_streams():
    """Makes sure that printing cannot fail because a stream is closed or cannot encode a character."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")


def _drop_output():
    """Discards output that could not be printed; otherwise Python would try again at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_error(error):
    """Prints an error in one line and returns the exit code; `python -X dev` shows where unexpected errors occur."""
    from gradlog.commands.selection import CommandError

    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename!r}" if error.filename else f"cannot print: {error.strerror}"
        if not error.filename:
            _drop_output()
    elif not isinstance(error, (CommandError, OSError)):
        if sys.flags.dev_mode:
            raise error
        text = f"unexpected error ({type(error).__name__}: {text}); `python -X dev -m gradlog` shows the traceback"
    print(f"{console.colored('error:', 'red', sys.stderr)} {text}", file=sys.stderr)
    return ERROR


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message):
        print(f"{console.colored('error:', 'red', sys.stderr)} {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(ERROR)


def _parser():
    parser = _Parser(
        prog="gradlog",
        description="Show how gradients flowed through logged runs, and what is wrong with them.",
        epilog="`gradlog COMMAND --help` shows examples.",
    )
    parser.add_argument("--version", action="version", version=f"gradlog {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_summary, _add_diagnose, _add_plot, _add_export, _add_rule, _add_repair):
        add(commands)
    return parser


def _add_summary(commands):
    parser = _add(
        commands,
        "summary",
        _summary,
        "compare runs: steps, loss, accuracy, gradients of the first and last kernel, findings",
        [
            "gradlog summary logs",
            "gradlog summary logs --runs 'relu|sigmoid' --steps 0:1000",
            "gradlog summary logs --json",
            "gradlog summary logs --precision --loss-scale 32768",
        ],
    )
    parser.add_argument("--layers", action="store_true", help="list every layer, and no blocks in place of many layers")
    parser.add_argument(
        "--precision",
        action="store_true",
        help="also show which share of gradients and weights would be lost in float16, bfloat16 and two of 8 bits",
    )
    parser.add_argument(
        "--loss-scale",
        type=argument_types.scale,
        default=1.0,
        metavar="S",
        help="multiply the gradients by S before, with --precision",
    )


def _add_diagnose(commands):
    _add(
        commands,
        "diagnose",
        _diagnose,
        "find what is wrong with each run, worst first, and what to try",
        [
            "gradlog diagnose logs",
            "gradlog diagnose logs/relu --steps 500:",
            "gradlog diagnose logs --json > findings.json",
            "gradlog diagnose torch_logs --tag 'gradient=gradients/{variable}' --tag train/loss=Loss/train",
        ],
        "exit codes: 0 no findings, 1 findings, 2 error (one line on standard error)",
    )


def _add_plot(commands):
    parser = _add(
        commands,
        "plot",
        _plot,
        "draw one figure: gradient by depth, heat maps of layers by step, update ratios, activations",
        ["gradlog plot logs -o gradients.png", "gradlog plot logs -o relu.pdf --runs relu --variables kernel"],
    )
    _add_output(parser, ".png, .svg or .pdf")
    parser.add_argument("--layers", action="store_true", help="draw every layer, and no blocks in place of many layers")


def _add_export(commands):
    parser = _add(
        commands,
        "export",
        _export,
        "write all numbers as a long table (run, step, variable, statistic, value), and the histograms",
        ["gradlog export logs -o gradients.csv", "gradlog export logs -o gradients.parquet --variables 'layer1/'"],
    )
    _add_output(parser, ".csv or .parquet, with histograms in a second file next to it, or .json")


def _add_rule(commands):
    text = "explain a rule: what is wrong, why, from which thresholds on, and what to try"
    examples = ["gradlog rule GL101", "gradlog rule", "gradlog rule GL101 --json"]
    parser = commands.add_parser("rule", help=text, **_described(text, examples, _EXIT_CODES))
    parser.add_argument("code", metavar="CODE", nargs="?", help="the code of a finding; without one, all are listed")
    parser.add_argument("--json", action="store_true", help="print only JSON on standard output")
    parser.set_defaults(command=_rule)


def _add_repair(commands):
    text = "try changes to a model that does not learn, and save the one that is proven to help"
    examples = [
        "gradlog repair model.keras data.npz -o repaired.keras",
        "gradlog repair model.keras data.npz --epochs 50",
    ]
    parser = commands.add_parser("repair", help=text, **_described(text, examples, _EXIT_CODES))
    parser.add_argument("model", metavar="MODEL", help="a compiled model, as model.save('model.keras') writes it")
    data = "arrays x and y, and x_val and y_val if there are any, as numpy.savez('data.npz', x=x, y=y) writes them"
    parser.add_argument("data", metavar="DATA", help=data)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to save the repaired model: .keras")
    numbers = {
        "epochs": (20, "passes through the data of a training"),
        "batch-size": (32, "rows of a batch"),
        "trainings": (12, "how many trainings may be spent"),
        "seeds": (3, "how many seeds the proof compares"),
    }
    for name, (default, what) in numbers.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", default=default, help=f"{what} (default: {default})")
    parser.add_argument("--seconds", type=float, metavar="S", help="after which no further changes are tried")
    parser.add_argument("--logdir", metavar="DIR", help="log every training below it, to see them in TensorBoard")
    parser.add_argument("--json", action="store_true", help="print only JSON on standard output")
    parser.set_defaults(command=_repair)


def _add_output(parser, kinds):
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help=f"output file: {kinds}")


def _add(commands, name, command, text, examples, exit_codes=_EXIT_CODES):
    """Adds a subcommand with the arguments that all share."""
    parser = commands.add_parser(name, help=text, **_described(text, examples, exit_codes))
    parser.add_argument("log_dir", metavar="LOGDIR", help="directory of a run, or a directory that contains runs")
    parser.add_argument("--runs", type=argument_types.pattern, metavar="REGEX", help="only runs whose name matches")
    parser.add_argument(
        "--variables", type=argument_types.pattern, metavar="REGEX", help="only variables whose name matches"
    )
    parser.add_argument("--steps", type=argument_types.steps, metavar="A:B", default=(None, None), help=_STEPS_HELP)
    parser.add_argument("--tag", type=argument_types.tag, action="append", metavar="NAME=PATTERN", help=_TAG_HELP)
    parser.add_argument("--json", action="store_true", help="print only JSON on standard output")
    parser.set_defaults(command=command)
    return parser


def _described(text, examples, exit_codes):
    """Returns arguments of a subcommand's parser: what it does, examples, and exit codes."""
    lines = "\n".join(f"  {example}" for example in examples)
    return {
        "description": f"{text[0].upper()}{text[1:]}.",
        "epilog": f"examples:\n{lines}\n\n{exit_codes}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


_TAG_HELP = (
    "meaning of a tag in logs of other programs, such as gradient_norm=grads/{variable} or train/loss=Loss; "
    "can be repeated"
)
_STEPS_HELP = "only steps A to B, inclusive; either can be omitted, and a single number selects one step"


def _chosen(options):
    from gradlog.commands.selection import Selection

    return Selection(options.runs, options.variables, options.steps, dict(options.tag) if options.tag else None)


def _summary(options):
    from gradlog.commands import diagnose, selection, summary

    chosen = _chosen(options)
    runs = selection.read_whole(options.log_dir, chosen)
    shown = selection.with_variables(selection.within_steps(runs, chosen), chosen)
    loss_scale = options.loss_scale if options.precision else None
    summary.show(shown, diagnose.findings(runs, chosen), options.json, options.layers, loss_scale)
    return CLEAN


def _diagnose(options):
    from gradlog.commands import diagnose, selection

    chosen = _chosen(options)
    runs = selection.read_whole(options.log_dir, chosen)
    selection.with_variables(selection.within_steps(runs, chosen), chosen)  # raises if nothing is selected
    return FINDINGS if diagnose.show(runs, diagnose.findings(runs, chosen), options.json) else CLEAN


def _plot(options):
    from gradlog.commands import layers, plot, selection

    plot.check(options.output)
    chosen = _chosen(options)
    runs = selection.with_variables(selection.read(options.log_dir, chosen), chosen)
    receipt = plot.save(runs if options.layers else layers.by_block(runs), options.output)
    print(console.json_text(receipt) if options.json else f"Wrote {receipt['file']}")
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
        print("\n".join(f"Wrote {each['file']} ({each['rows']:,} rows of {each['what']})" for each in receipt["files"]))
    return CLEAN


def _rule(options):
    from gradlog.commands import rule

    print(rule.text(options.code, options.json))
    return CLEAN


def _repair(options):
    from gradlog.commands import repair

    repair.check(options.output)
    chosen = {name: getattr(options, name) for name in ("epochs", "batch_size", "trainings", "seeds", "seconds")}
    files = options.model, options.data, options.output
    repair.run(*files, options.json, log_dir=options.logdir, **chosen)
    return CLEAN
