"""How fast is the tab Gradients, and what does it cost TensorBoard?

    python -m experiments.overhead_tab

Writes 50 runs of 1,000 logged steps of 200 variables, 2.4 GB, into a temporary directory, starts TensorBoard on it,
and once that has read it all, looks at the tab in a headless Chromium: when the first picture is there, when all are,
how often the pictures follow the step slider, how large the largest answer is. Then TensorBoard is started with the tab
and without it, by turns, on a small directory. It takes three minutes, and needs Chromium and `.[browser]`.

Expect: the first pictures after a second, all fifty within five, all findings within ten; TensorBoard starts no later
than 0.1 s.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import runs
from experiments.overhead_numbers import quartiles, shown
from gradlog.history.history import Snapshot
from gradlog.history.names import SCALAR_TAGS
from gradlog.writers import EventWriter

RESULTS_DIR = Path(__file__).parent / "results"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
EVERY = 10  # steps from one logged step to the next
COLUMNS = (*SCALAR_TAGS, "gradient_zero_fraction")
_ROUTE = "data/plugin/gradlog/data/runs"
_MOST_SECONDS = 300
_MOVE = """async (moves) => {
    const slider = document.querySelector('.stepper input');
    const frame = () => new Promise(requestAnimationFrame);
    const seconds = [];
    for (let move = 0; move < moves; move++) {
        const begun = performance.now();
        slider.value = Math.round(slider.max * move / (moves - 1));
        slider.dispatchEvent(new Event('input'));
        await frame();
        await frame();
        seconds.push((performance.now() - begun) / 1000);
    }
    return seconds;
}"""
_SIZES = "performance.getEntriesByType('resource').map((entry) => entry.decodedBodySize)"
# Starts TensorBoard in a process of its own, asks it for one thing, and ends.
_START = """import os, sys, urllib.request
from tensorboard import default, program
log_dir, with_tab = sys.argv[1], sys.argv[2] == "with"
plugins = [each for each in default.get_plugins() if with_tab or each.__module__ != "gradlog.tensorboard.plugin"]
server = program.TensorBoard(plugins=plugins)
server.configure(argv=["", "--logdir", log_dir, "--host", "127.0.0.1", "--port", "0", "--load_fast=false"])
listed = urllib.request.urlopen(server.launch() + "data/plugins_listing").read()
os._exit((b"gradlog" in listed) != with_tab)  # at once: its threads do not like a process that ends
"""


@dataclass(frozen=True)
class Config:
    """How much is measured."""

    runs: int = 50
    steps: int = 1000  # logged ones of each run
    variables: int = 200
    moves: int = 60  # of the step slider
    starts: int = 9  # of TensorBoard, with the tab and without
    uncounted_starts: int = 1  # before them, which fill the disk's cache
    seed: int = 1


QUICK = Config(runs=5, steps=100, variables=20, moves=20, starts=2)


def run(config, log_dir, browser):
    """Measures, and returns a dictionary of results, in seconds.

    Args:
        config: `Config`.
        log_dir: Path, an empty directory.
        browser: String, the program of a Chromium.
    """
    with runs.progress_bar() as progress:
        task = progress.add_task("writing runs", total=config.runs, loss="")
        for number in range(config.runs):
            write_run(log_dir / "many" / f"run{number:02d}", config, config.seed + number)
            progress.advance(task)
    write_run(log_dir / "one", QUICK, config.seed)
    return {
        "experiment": "overhead_tab",
        "config": dataclasses.asdict(config),
        "cpu_cores": os.cpu_count(),
        "page": measure_page(config, log_dir / "many", browser),
        "start": measure_start(config, log_dir / "one"),
    }


def write_run(log_dir, config, seed):
    """Writes a run of made-up numbers: gradients that wander, and fall towards the input in some runs more than others.

    There are no histograms, of which the tab asks for one variable's at a time: with them these runs take 17 GB.
    """
    generator = np.random.default_rng(seed)
    names = tuple(f"layer{index // 2 + 1}/{('kernel', 'bias')[index % 2]}" for index in range(config.variables))
    fall, walk = generator.uniform(0, 4) * np.linspace(1, 0, config.variables), np.zeros(config.variables)
    writer = EventWriter(log_dir)
    for step in range(config.steps):
        walk += generator.normal(0, 0.015, config.variables)
        mean_abs = 10 ** (walk - fall - 2)
        table = dict.fromkeys(COLUMNS, np.zeros(config.variables)) | {
            "gradient_mean_abs": mean_abs,
            "gradient_norm": 30 * mean_abs,
            "gradient_zero_fraction": generator.uniform(0, 0.3, config.variables),
            "weight_norm": np.full(config.variables, 3.0),
            "update_ratio": np.clip(mean_abs / 10, 0, 1),
        }
        scalars = {"train/loss": 2.3 * 0.999**step, "gradient_norm/global": float(30 * mean_abs.sum())}
        statistics = np.stack([table[name] for name in COLUMNS], axis=1).astype(np.float32)
        writer.write(Snapshot(EVERY * step, names, COLUMNS, statistics, scalars=scalars))
    writer.close()


def measure_page(config, log_dir, browser):
    """Times the page of a TensorBoard that has read everything."""
    from playwright import sync_api

    with tensorboard(log_dir) as address, sync_api.sync_playwright() as playwright:
        _wait_until_read(address, config)
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = opened.new_page(viewport={"width": 1400, "height": 1000})
        begun = time.perf_counter()
        page.goto(f"{address}data/plugin_entry.html?name=gradlog#gradlog")
        page.wait_for_function("document.querySelector('#heatmaps .heatmap canvas')")
        first = time.perf_counter() - begun
        page.locator("#heatmaps .heatmap").nth(config.runs - 1).wait_for(timeout=_MOST_SECONDS * 1000)
        pictures = time.perf_counter() - begun
        page.wait_for_selector("main[data-ready]", timeout=_MOST_SECONDS * 1000)
        findings = time.perf_counter() - begun
        moves, sizes = page.evaluate(_MOVE, config.moves), page.evaluate(_SIZES)
        opened.close()
    return {
        "first_picture": first,
        "all_pictures": pictures,
        "all_findings": findings,
        "move_of_the_slider": quartiles(moves),
        "largest_answer_bytes": max(sizes),
    }


@contextlib.contextmanager
def tensorboard(log_dir):
    """Runs TensorBoard in a process of its own on a free port; gives its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if " at http://" in line:
                yield line.split(" at ")[1].split(" ")[0]
                return
        raise OSError("TensorBoard did not start")
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def _wait_until_read(address, config):
    last_step, end = EVERY * (config.steps - 1), time.monotonic() + _MOST_SECONDS
    while time.monotonic() < end:
        listed = json.loads(urllib.request.urlopen(f"{address}{_ROUTE}").read())["runs"]
        if len(listed) == config.runs and all(run["last_step"] == last_step for run in listed):
            return
        time.sleep(0.5)
    raise OSError("TensorBoard did not read the runs in time")


def measure_start(config, log_dir):
    """Times how long TensorBoard takes from its start to its first answer, with the tab and without, by turns."""
    seconds = {"with": [], "without": []}
    for turn in range(config.uncounted_starts + config.starts):
        for side, times in seconds.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", _START, str(log_dir), side], check=True, stderr=subprocess.DEVNULL)
            if turn >= config.uncounted_starts:
                times.append(time.perf_counter() - begun)
    later = [one - other for one, other in zip(*seconds.values(), strict=True)]
    return {**{f"{side}_tab": quartiles(times) for side, times in seconds.items()}, "later": quartiles(later)}


def _table(results):
    config, page, start = results["config"], results["page"], results["start"]
    rows = [
        ["first picture, s", f"{page['first_picture']:.1f}"],
        ["pictures of all runs, s", f"{page['all_pictures']:.1f}"],
        ["findings of all runs, s", f"{page['all_findings']:.1f}"],
        ["a move of the step slider, two frames, s", shown(page["move_of_the_slider"], 3)],
        ["largest answer, MB", f"{page['largest_answer_bytes'] / 1e6:.2f}"],
        ["TensorBoard's start without the tab, s", shown(start["without_tab"], 2)],
        ["with the tab, later by, s", shown(start["later"], 2)],
    ]
    size = f"{config['runs']} runs × {config['variables']} variables × {config['steps']:,} logged steps"
    return runs.table(f"Tab · {size}", ["what", "measured (quartiles)"], rows)


def main(argv=None):
    """Runs the experiment from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.overhead_tab",
        description=__doc__,
        epilog="examples:\n  python -m experiments.overhead_tab\n  python -m experiments.overhead_tab --quick\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="5 small runs, half a minute; writes no results")
    options = parser.parse_args(argv)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        import playwright  # noqa: F401
    except ImportError:
        browser = None
    if browser is None:
        print(
            f"error: the tab is measured in a browser. Expected one of {', '.join(BROWSERS)}, and playwright; "
            "pip install -e '.[browser]'",
            file=sys.stderr,
        )
        return 2
    try:
        with tempfile.TemporaryDirectory() as log_dir:
            results = run(QUICK if options.quick else Config(), Path(log_dir), browser)
    except OSError as error:  # as a disk that is full, or a TensorBoard that does not start
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing was kept.", file=sys.stderr)
        return 130
    runs.console().print(_table(results))
    if not options.quick:
        print(f"Numbers: {runs.write_results(RESULTS_DIR, results, 'overhead_tab.json')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
