"""What MkDocs builds beside the files of this folder: a page for each rule, and pages that stand elsewhere already."""

import re
from pathlib import Path

from mkdocs.structure.files import File

from gradlog.diagnosis.pages import codes, page

ROOT = Path(__file__).parents[1]
_ELSEWHERE = {"experiments.md": ROOT / "experiments" / "README.md", "architecture.md": ROOT / "ARCHITECTURE.md"}
_PICTURE = "![{name}: {beside}]({code}.png)\n"
_OF_A_RULE = "a sick run beside a healthy one"
_OF_A_CHECK = "a training with the mistake beside the mended one"


def on_files(files, config):
    """Adds the generated pages."""
    for name, path in _ELSEWHERE.items():
        files.append(File.generated(config, name, content=_moved(path.read_text())))
    pages = [page(code) for code in codes()]
    for one in pages:
        files.append(File.generated(config, f"rules/{one.code}.md", content=rule(one)))
    files.append(File.generated(config, "rules/index.md", content=table(pages)))
    return files


def rule(one):
    """Returns the page of a rule or a check, with its picture."""
    beside = _OF_A_CHECK if one.is_check else _OF_A_RULE
    head, why, rest = one.markdown().partition("## Why")
    return f"{head}{_PICTURE.format(name=one.name, beside=beside, code=one.code)}\n{why}{rest}"


def table(pages):
    """Returns the page that lists all rules and checks."""
    rows = [f"| [{one.code}]({one.code}.md) | {one.name} | {one.summary} |" for one in pages]
    before = [row for one, row in zip(pages, rows, strict=True) if one.is_check]
    during = [row for one, row in zip(pages, rows, strict=True) if not one.is_check]
    head = ["| code | name | what it is |", "| --- | --- | --- |"]
    text = "`gradlog rule GL101` shows a page in the terminal."
    parts = ["# Rules", text, "## While it trains", "\n".join([*head, *during])]
    return "\n\n".join([*parts, "## Before the first step", "\n".join([*head, *before])]) + "\n"


def _moved(text):
    """Returns a page of another folder with links that hold on the site."""
    text = re.sub(r"\]\(\.\./docs/", "](", text)
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)?(?:README|ARCHITECTURE|CHANGELOG)\.md[^)]*\)", r"\1", text)
