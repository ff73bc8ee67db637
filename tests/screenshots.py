"""Takes the documentation's pictures of the tab from real runs: `python tests/screenshots.py`.

The runs are those of two experiments, which have to be there:

    python -m experiments.mnist_activations
    python -m experiments.transformers

With names of pictures, it takes these alone: `python tests/screenshots.py transformers_tab`. It needs Chromium.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import tensorboard_server as server
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Picture(NamedTuple):
    """A picture of the tab.

    Attributes:
        log_dir: String, where the runs are.
        choices: String, the tab's choices as they stand in the address.
        size: Width and height in pixels.
        section: String, the heading of the section that is shown; empty for the top of the page.
    """

    log_dir: str
    choices: str
    size: tuple[int, int]
    section: str = ""


PICTURES = {
    "gradients_tab": Picture("logs/mnist_activations", "&p.gradlog.step=0", (1400, 1040)),
    "gradients_tab_histograms": Picture("logs/mnist_activations", "&p.gradlog.step=0", (1400, 1040), "Histograms"),
    "transformers_tab": Picture("logs/transformers", "&p.gradlog.filter=healthy|post_norm$", (1400, 1050)),
    "transformers_attention": Picture(
        "logs/transformers", "&p.gradlog.filter=healthy|large_rate", (1400, 1040), "Attention"
    ),
}


def main(names):
    """Takes pictures, all or those of some names."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        for name in names or PICTURES:
            take(browser, PICTURES[name], DOCS / f"{name}.png")
            print(DOCS / f"{name}.png")
        browser.close()


def take(browser, picture, path):
    """Takes one picture of the tab, in a TensorBoard of its own."""
    address = server.start(picture.log_dir, "--load_fast=false")
    runs = {path.parent for path in Path(picture.log_dir).rglob("*tfevents*")}
    server.wait_for(lambda: _num_runs(address) == len(runs))
    page = browser.new_page(viewport=dict(zip(("width", "height"), picture.size, strict=True)))
    page.goto(f"{address}data/plugin_entry.html?name=gradlog#gradlog{picture.choices}")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # the pictures are drawn after the last answer
    section = page.locator("section", has=page.get_by_role("heading", name=picture.section, exact=True))
    (section.screenshot if picture.section else page.screenshot)(path=path)
    page.close()


def _num_runs(address):
    return len(json.loads(server.get(f"{address}data/plugin/gradlog/data/runs")[1])["runs"])


if __name__ == "__main__":
    main(sys.argv[1:])
