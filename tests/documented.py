"""The pages of the documentation: what they have a reader type, and what of it no test runs, with the reason."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FILES = {
    "README.md": ROOT / "README.md",
    **{path.relative_to(ROOT / "docs").as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md"))},
    "experiments.md": ROOT / "experiments" / "README.md",
    "architecture.md": ROOT / "ARCHITECTURE.md",
}
PAGES = {name: path.read_text() for name, path in _FILES.items()}

_COMMAND = re.compile(r"(?:\w+=(?:'[^']*'|\w+) )?(?:gradlog|head|mkdocs|pip|pytest|python|tensorboard) ")
_INLINE = re.compile(rf"`({_COMMAND.pattern}[^`]*)`")

# The beginning of a command that is not run, as a regular expression, and why.
NOT_RUN = {
    "pip install": "it changes the environment; `.ci/run` and tests/test_package.py install",
    "pytest": "it is what runs this; tests/test_documented.py looks whether there are such tests",
    "tensorboard --logdir": "it serves without end; tests/test_tensorboard_page.py starts one, and ends it",
    "python -m experiments.report": "it writes a page of the documentation; tests/test_report.py compares that",
    r"(\w+=.* )?python train.py": "the script is the reader's",
    "python tests/labelled_tables.py": "it trains for minutes; tests/test_labelled.py reads what it wrote",
}
# The first line of a block that is neither Python nor commands, and what it is.
OTHER_BLOCKS = {
    "gradlog.repair · repaired": "the report of a training of a minute; tests/test_readme.py compares its numbers",
    "import wandb": "it needs wandb; tests/test_libraries.py runs it where that is installed",
    "import mlflow": "it needs MLflow; tests/test_libraries.py runs it where that is installed",
    "with strategy.scope():": "it needs two processes; tests/test_distribution.py trains them with it",
    "%load_ext tensorboard": "Jupyter's own commands; the second serves without end",
    " what a user calls": "a drawing",
    "on_train_begin": "a drawing",
}


def fenced(text, language):
    """Returns the blocks of code of a language in Markdown; without one, commands and what is printed."""
    return [code for kind, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M) if kind == language]


def commands(text):
    """Returns what a page has a reader type: pairs of a command and what the page shows of its output, or `None`."""
    found = []
    for block in fenced(text, ""):
        if "$ " in block[:2]:
            parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
            found += [(command, shown or None) for command, shown in parts]
        elif _COMMAND.match(block):
            found += [(line, None) for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    return found + [(command, None) for command in _INLINE.findall(prose)]


def other_blocks(text):
    """Returns the code blocks that have no language and hold no commands."""
    return [block for block in fenced(text, "") if not block.startswith("$ ") and not _COMMAND.match(block)]


def why_not_run(command):
    """Returns why no test runs a command, or `None`."""
    return next((reason for start, reason in NOT_RUN.items() if re.match(start, command)), None)


def form(text):
    """Returns what is printed without what differs from run to run: numbers, steps, layers, widths of columns."""
    text = re.sub(r"layer\d(, layer\d)*", "LAYERS", text)
    text = re.sub(r"(steps [\d,]+ to|since step) [\d,]+", "WHEN", text)
    text = re.sub(r"-{2,}", "--", re.sub(r"\d[\d.,]*(e-?\d+)?", "#", text))
    return " ".join(text.replace(" +#", "").split())
