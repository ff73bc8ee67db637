"""What the pages of the documentation have a reader type is run, in the order of the page, and prints what they show.

Python comes first. Commands that read the runs of a page read those that its Python left. A few pages name runs of an
experiment or of another program; those are made here, by short trainings.
"""

import configparser
import contextlib
import importlib
import io
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import documented
import keras
import networks
import numpy as np
import pytest
from documented import PAGES, ROOT
from marks import ENGINE, OF_TENSORFLOW

import gradlog
from experiments import mnist_activations
from gradlog.commands import cli
from gradlog.diagnosis.pages import codes, page

SLOW = ("guides/transformers.md", "index.md")
WITH_TENSORFLOW = ("guides/loop.md",)  # pages whose Python imports it
# The beginnings of commands that import it, or read what it has logged.
COMMANDS_WITH_TENSORFLOW = re.compile(r"python -m experiments\.(remedies|repair)$|gradlog diagnose runs ")
# The logged steps of the run that the Python of a page leaves.
LEFT = {"README.md": ("logs/first", [0, 10, 20, 30])}
pytestmark = pytest.mark.usefixtures("without_graph_optimizer")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The runs of the experiment on MNIST, of five steps each."""
    log_dir = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_activations, "build_model", networks.run_eagerly(mnist_activations.build_model))
        mnist_activations.run(mnist_activations.Config(steps=5, every=2, data="embedded"), log_dir)
    return log_dir


@pytest.fixture(scope="module")
def of_another_program(tmp_path_factory):
    """A run that was logged with `tf.summary`, under tags of its own."""
    import tensorflow as tf

    log_dir, (x, y) = tmp_path_factory.mktemp("other"), networks.data(32)
    model = networks.dense_network()
    with tf.summary.create_file_writer(str(log_dir / "mine")).as_default():
        for step in range(12):
            with tf.GradientTape() as tape:
                loss = model.loss(y, model(x, training=True))
            gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
            model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            tf.summary.scalar("Loss/train", loss, step)
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
                tf.summary.scalar(f"grads/{variable.path}", tf.norm(gradient), step)
                tf.summary.histogram(f"gradients/{variable.path}", gradient, step)
    return log_dir


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that learns, and its data, as a reader would have saved them."""
    directory, (x, y) = tmp_path_factory.mktemp("saved"), networks.data(200)
    model = networks.dense_network(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    model.save(directory / "MODEL.keras")
    np.savez(directory / "DATA.npz", x=x, y=y)
    return directory


@pytest.fixture
def provide(request, tmp_path, monkeypatch):
    """Makes the files that a command names, unless the page itself has made them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def provided(command):
        made = {"logs/mnist_activations": "digits", "LOGDIR": "digits", "runs": "of_another_program"}
        for name, fixture in made.items():
            if name in command.split() and not Path(name).exists():
                shutil.copytree(request.getfixturevalue(fixture), name)
        if "MODEL.keras" in command:
            shutil.copytree(request.getfixturevalue("saved"), ".", dirs_exist_ok=True)

    return provided


def called(main, arguments):
    """Returns the exit code of a function that a command calls, and what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    return code, printed.getvalue()


def run(command):
    """Runs a command; of one that is only named, or trains for long, its help.

    Returns:
        The exit code and what was printed.
    """
    program, *arguments = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\w+", word)]
    if program == "gradlog":
        *arguments, file = arguments if ">" in arguments else (*arguments, None)
        code, printed = called(cli.main, [*arguments[:-1]] if file else with_help(arguments))
        if file:
            Path(file).write_text(printed)
        return code, printed
    if (program, arguments[0]) == ("python", "-m"):
        _, module, *arguments = arguments
        asked = ["--help"] if module.startswith("experiments.") else arguments
        return called(importlib.import_module(module).main, asked)
    finished = subprocess.run([program, *arguments], capture_output=True, text=True)
    return finished.returncode, finished.stdout


def with_help(arguments):
    """Returns arguments of `gradlog`; those of a command that is only named ask for its help."""
    return arguments if len(arguments) > 1 or arguments == ["rule"] else [*arguments, "--help"]


def _marked(name):
    marks = [pytest.mark.combinations] if name in SLOW else []
    return pytest.param(name, marks=[*marks, OF_TENSORFLOW] if name in WITH_TENSORFLOW else marks)


@pytest.mark.parametrize("name", map(_marked, PAGES))
def test_python_and_commands_run(name, provide):
    namespace = {}
    for block in documented.fenced(PAGES[name], "python"):
        exec(compile(block, name, "exec"), namespace)
    if name in LEFT:
        log_dir, steps = LEFT[name]
        assert gradlog.read(log_dir).steps.tolist() == steps
    for command, shown in documented.commands(PAGES[name]):
        if documented.why_not_run(command) or (ENGINE != "tensorflow" and COMMANDS_WITH_TENSORFLOW.match(command)):
            continue
        provide(command)
        code, printed = run(command)
        assert code in ((0, 1) if command.startswith("gradlog diagnose") else (0,)), command  # 1: there are findings
        assert printed
        if shown:
            assert documented.form(printed) == documented.form(shown)


def test_what_is_not_run_stands_on_a_page():
    typed = [command for text in PAGES.values() for command, _ in documented.commands(text)]
    others = [block for text in PAGES.values() for block in documented.other_blocks(text)]

    assert [start for start in documented.NOT_RUN if not any(re.match(start, one) for one in typed)] == []
    assert sorted(documented.OTHER_BLOCKS) == sorted(
        start for start in documented.OTHER_BLOCKS for block in others if block.startswith(start)
    )
    assert [one for one in others if not one.startswith(tuple(documented.OTHER_BLOCKS))] == []
    assert {kind for text in PAGES.values() for kind in re.findall(r"^```(\w+)$", text, re.M)} == {"python"}


def test_what_is_installed_and_tested_there_is():
    """Extras, and the markers and files of tests, of the commands that are not run."""
    texts = " ".join(command for text in PAGES.values() for command, _ in documented.commands(text))
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    markers = re.findall(r'^  "(\w+): ', (ROOT / "pyproject.toml").read_text(), re.M)

    assert set(re.findall(r"\.\[(\w+)\]", texts)) <= set(settings["options.extras_require"])
    assert set(re.findall(r"pytest -m (\w+)", texts)) <= set(markers)
    assert [path for path in re.findall(r"tests/[\w./]+", texts) if not (ROOT / path).exists()] == []


def test_the_diagnosis_of_mnist_is_told_by_the_exit_code(digits):
    assert called(cli.main, ["diagnose", str(digits)])[0] == 1
    assert called(cli.main, ["diagnose", str(digits), "--runs", "^relu"])[0] == 0


def test_the_numbers_of_the_summary_are_those_of_the_committed_results():
    results = json.loads((ROOT / "experiments" / "results" / "mnist_activations.json").read_text())["scenarios"]
    rows = [re.split(r" {2,}", line) for line in documented.commands(PAGES["command.md"])[0][1].splitlines()[2:]]

    assert [row[0] for row in rows] == sorted(one["scenario"] for one in results)
    for name, _, loss, _, test, *numbers, findings in rows:
        (one,) = [one for one in results if one["scenario"] == name]
        shown = [float(text.replace(",", "")) for text in (loss.split()[-1], test, *numbers)]
        kinds = ("first_kernel", "last_kernel", "ratio")
        expected = [one[f"{kind}_{when}"] for when in ("at_start", "over_run") for kind in kinds]
        assert shown == pytest.approx([one["train_loss"], one["test_accuracy"], *expected], rel=0.04)
        codes_of_layers = [re.sub(r"^(\w+) .*, (\w+): .*", r"\1 \2", each) for each in one["findings"]]
        assert findings == (", ".join(codes_of_layers) or "none")


@OF_TENSORFLOW
def test_logs_of_other_programs_are_read_as_the_guide_says(provide):
    (code,) = re.findall(r'`(gradlog\.read\("runs/mine", .*?\))`', PAGES["guides/fit.md"], re.S)
    provide("gradlog diagnose runs")

    history = eval(code, {"gradlog": gradlog})

    assert len(history.steps) == 12
    assert len(history.kernels()) == 3
    assert any(tag.startswith("gradient/") for tag in history.histograms)


def test_the_rule_that_a_page_has_a_reader_pass_is_that_rule():
    examples = [re.findall(r"with `(gradlog\.rules\..*?)`\.$", page(code).markdown(), re.M) for code in codes()]

    assert [eval(one, {"gradlog": gradlog}) for each in examples for one in each] == [
        rule for rule in gradlog.rules.RULES if page(rule.code).thresholds
    ]
