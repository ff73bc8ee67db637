"""The command: its tables and JSON by known numbers, its exit codes, its errors, what it does not import."""

import configparser
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_logs import write_run, write_scalars

import gradlog
from gradlog.commands import cli, console

HEAVY = ("tensorflow", "keras", "pandas", "pyarrow", "matplotlib")


def finding(code="GL101", where=("layer1/kernel",), severity="alarm", first_step=0):
    return gradlog.Finding(
        code=code,
        name="vanishing gradient",
        severity=severity,
        where=where,
        first_step=first_step,
        last_step=None,
        measured=1e-6,
        threshold=1e-4,
        message="The gradient of layer1 is 10,000 times smaller than that of layer2.",
        remedies=("Use ReLU.", "Use He initialization."),
    )


@pytest.fixture(autouse=True)
def found(monkeypatch):
    """What `gradlog.diagnose` finds, by the number of steps of a run; nothing, unless a test fills it."""
    result = {}
    monkeypatch.setattr(gradlog, "diagnose", lambda history: list(result.get(len(history.steps), [])), raising=False)
    return result


@pytest.fixture
def logs(tmp_path):
    """Two runs of gradlog's: `relu` with three steps and a test, and `sigmoid` with one step."""
    write_run(tmp_path / "relu")
    write_scalars(tmp_path / "relu", {"test/accuracy": 0.5, "test/loss": 1.5}, 30)
    write_run(tmp_path / "sigmoid", np.full((1, 4), 2e-3), [0])
    return tmp_path


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs the command; returns the exit code, standard output and standard error."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


def summary(run, *arguments):
    code, out, err = run("summary", *arguments, "--json")
    assert (code, err) == (0, "")
    return {row["run"]: row for row in json.loads(out)["runs"]}


def test_summary_has_the_numbers_that_were_logged(run, logs):
    relu = summary(run, logs)["relu"]

    assert (relu["num_steps"], relu["first_step"], relu["last_step"]) == (3, 0, 20)
    assert (relu["first_loss"], relu["last_loss"]) == (2.0, 1.0)
    assert (relu["metric"], relu["held_out"]) == ("accuracy", {"test/accuracy": 0.5})
    assert [relu["first_metric"], relu["last_metric"]] == pytest.approx([0.01, 0.21])
    assert (relu["first_kernel"], relu["last_kernel"]) == ("layer1/kernel", "layer2/kernel")
    assert relu["at_start"] == pytest.approx({"first": 1e-6, "last": 1e-2, "ratio": 1e4})
    assert relu["over_run"] == pytest.approx({"first": 5e-6 / 3, "last": 0.03, "ratio": 18_000})


def test_summary_is_a_table_side_by_side(run, logs, found):
    found[3] = [finding("GL301", (), "warning"), finding(where=("layer1/kernel", "layer1/bias"))]

    assert run("summary", logs) == (0, TABLE, "")


TABLE = """\
                                             ---- |g| at start ----  -- |g| over the run --
run      steps  loss    accuracy       test   first    last   ratio   first    last   ratio  findings
relu      0-20  2 -> 1  0.01 -> 0.21  0.500  1.0e-6  1.0e-2  10,000  1.7e-6  3.0e-2  18,000  GL101 layer1 +1, GL301
sigmoid    0-0  2 -> 2  0.01 -> 0.01      -  2.0e-3  2.0e-3       1  2.0e-3  2.0e-3       1  none
"""


DEEP = [f"block_{number}/{layer}/kernel" for number in range(4) for layer in "abcdefgh"]
BLOCKS = """
                         -------- |g| ---------  ---- update ratio ----
deep: largest of a block  at start  over the run  at start  over the run
block 0                     8.0e-4        8.0e-2    2.3e-3        2.3e-3
block 1                     1.6e-3        1.6e-1    4.7e-3        4.7e-3
block 2                     2.4e-3        2.4e-1    7.2e-3        7.2e-3
block 3                     3.2e-3        3.2e-1    9.7e-3        9.7e-3
head                        3.3e-3        3.3e-1    1.0e-2        1.0e-2
"""


@pytest.fixture
def deep(tmp_path):
    """A run of four blocks of eight kernels; gradients are 1e-4 to 33e-4, then 199 times as large."""
    levels = np.arange(1, 34) * 1e-4
    write_run(tmp_path / "deep", np.stack([levels, levels * 199]), [0, 10], variables=[*DEEP, "head/kernel"])
    return tmp_path


def test_summary_of_a_network_of_many_blocks_has_the_largest_of_each(run, deep):
    first, _, blocks = run("summary", deep)[1].partition("\n\n")

    assert len(first.splitlines()) == 3
    assert [line.split() for line in blocks.splitlines()] == [line.split() for line in BLOCKS.strip().splitlines()]


def test_summary_lists_every_layer_if_asked_and_json_stays_as_it_is(run, deep, logs):
    lines = run("summary", deep / "deep", "--layers")[1].partition("\n\n")[2].splitlines()

    assert lines[1].startswith("deep: layers ")
    assert [line.split("  ")[0] for line in lines[2:4]] == ["0 · a", "0 · b"]
    assert len(lines) == 2 + 33
    assert "layer1" in run("summary", logs / "relu", "--layers")[1].partition("\n\n")[2]
    assert run("summary", deep, "--json", "--layers") == run("summary", deep, "--json")


def test_summary_says_the_blocks_of_a_finding(run, deep, found):
    found[2] = [dataclasses.replace(finding(where=(DEEP[0], DEEP[8])), place="blocks 0 to 1 · a")]

    assert run("summary", deep)[1].partition("\n\n")[0].splitlines()[-1].endswith("GL101 blocks 0 to 1 · a")


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_narrow_screen_the_table_goes_on_below(run, logs, monkeypatch, columns):
    write_run(logs / "a_run_with_quite_a_long_name_of_its_own")
    monkeypatch.setenv("COLUMNS", str(columns))

    out = run("summary", logs)[1]

    assert max(map(len, out.splitlines())) <= columns
    blocks = out.split("\n\n")
    assert all([line.split()[0] for line in block.splitlines()[-2:]] == ["relu", "sigmoid"] for block in blocks)
    assert blocks[0].splitlines()[-3].startswith("..._quite_a_long_name_of_its_own ")


def test_summary_of_a_single_run_names_it_by_its_directory(run, logs):
    assert list(summary(run, logs / "relu")) == ["relu"]


def test_several_metrics_are_named(run, tmp_path):
    for name, metric in (("a", "auc"), ("b", "mae")):
        write_scalars(
            tmp_path / name, {f"train/{metric}": 0.25, f"{'test' if name == 'a' else 'validation'}/{metric}": 1}
        )

    header, *rows = run("summary", tmp_path)[1].splitlines()

    assert header.split() == ["run", "steps", "metric", "held", "out", "findings"]
    assert [" ".join(row.split()) for row in rows] == [
        "a 0-0 auc 0.25 -> 0.25 1.000 no statistics",
        "b 0-0 mae 0.25 -> 0.25 1.000 no statistics",
    ]


def test_runs_within_runs_are_all_there(run, logs):
    write_scalars(logs / "relu" / "validation", {"epoch_loss": 1.0})

    assert list(summary(run, logs / "relu")) == ["relu", "validation"]


def test_summary_without_gradlog_statistics_shows_what_there_is(run, tmp_path):
    write_scalars(tmp_path / "other", {"train/loss": 3.0, "validation/mae": 0.25}, step=7)

    other = summary(run, tmp_path)["other"]
    assert (other["has_statistics"], other["first_loss"], other["metric"]) == (False, 3.0, "mae")
    assert other["at_start"] == {"first": None, "last": None, "ratio": None}
    assert "no statistics" in run("summary", tmp_path)[1]


def test_no_gradient_and_no_number_are_told_apart(run, tmp_path):
    """A frozen first kernel has no gradient; a loss that is NaN is one; a last kernel over zero has no ratio."""
    write_run(tmp_path / "a", [[np.nan, 0, 1, 0]], [0], scalars={"train/loss": [np.nan]})
    write_run(tmp_path / "b", [[0.0, 0, 1, 0]], [0], scalars={"train/loss": [-np.inf]})

    rows = summary(run, tmp_path)
    assert [rows[name]["last_loss"] for name in "ab"] == ["NaN", "-Infinity"]
    assert rows["a"]["at_start"] == {"first": None, "last": 1.0, "ratio": None}
    assert rows["b"]["at_start"] == {"first": 0.0, "last": 1.0, "ratio": None}
    assert "nan -> nan" in run("summary", tmp_path)[1]


def test_filters_choose_runs_variables_and_steps(run, logs):
    rows = summary(run, logs, "--runs", "^re", "--variables", "bias$", "--steps", "5:15")

    assert list(rows) == ["relu"]
    assert (rows["relu"]["first_step"], rows["relu"]["last_step"], rows["relu"]["first_loss"]) == (10, 10, 1.5)
    assert (rows["relu"]["first_kernel"], rows["relu"]["last_kernel"]) == ("layer1/bias", "layer2/bias")
    assert rows["relu"]["at_start"] == pytest.approx({"first": 5e-6, "last": 5e-2, "ratio": 1e4})


@pytest.mark.parametrize(
    ("steps", "expected"), [("10:", [10, 20]), (":10", [0, 10]), (":", [0, 20]), ("20", [20, 20]), ("0:0", [0, 0])]
)
def test_either_end_of_the_steps_may_be_open_and_both_are_included(run, logs, steps, expected):
    row = summary(run, logs / "relu", "--steps", steps)["relu"]

    assert [row["first_step"], row["last_step"]] == expected


def test_diagnose_is_clean_where_nothing_is_found(run, logs):
    assert run("diagnose", logs) == (0, "No findings in 2 runs.\n", "")
    assert run("diagnose", logs / "relu")[1] == "No findings in 1 run.\n"


def test_diagnose_prints_the_worst_first_and_exits_with_1(run, logs, found):
    warning, alarm = finding("GL301", (), "warning"), finding()
    found[1], found[3] = [warning], [alarm, warning]

    code, out, err = run("diagnose", logs)

    assert (code, err) == (1, "")
    assert [line for line in out.splitlines() if line in ("relu", "sigmoid")] == ["relu", "sigmoid"]
    texts = [alarm, warning, warning]
    places = [out.index("  " + str(texts[0]).splitlines()[0]), out.index("  " + str(warning).splitlines()[0])]
    assert places == sorted(places)
    assert all(f"  {line}" in out.splitlines() for text in texts for line in str(text).splitlines())
    assert out.endswith("3 findings in 2 of 2 runs.\n")


def test_the_run_with_the_worst_finding_comes_first(run, logs, found):
    found[1], found[3] = [finding()], [finding(severity="warning")]

    out = run("diagnose", logs)[1]

    assert out.index("sigmoid") < out.index("relu")


def test_diagnose_for_programs(run, logs, found):
    found[3] = [finding(), finding("GL301", (), "warning")]

    code, out, _ = run("diagnose", logs, "--json")

    content = json.loads(out)
    assert (code, content["num_findings"]) == (1, 2)
    assert {each["run"]: [f["code"] for f in each["findings"]] for each in content["runs"]} == {
        "relu": ["GL101", "GL301"],
        "sigmoid": [],
    }
    assert content["runs"][0]["findings"][0]["where"] == ["layer1/kernel"]


def test_what_a_finding_explains_is_folded_below_it(run, logs, found):
    cause = dataclasses.replace(
        finding("GL301", (), "warning"), explains=("GL101",), change="Adam(learning_rate=0.003)"
    )
    found[3] = [cause, dataclasses.replace(finding(), cause="GL301")]

    code, out, _ = run("diagnose", logs)

    assert code == 1
    lines = out.splitlines()
    assert lines[: len(lines) - 2] == [
        "relu",
        "  GL301 warning · vanishing gradient · since step 0",
        "    The gradient of layer1 is 10,000 times smaller than that of layer2. (measured 1e-06, threshold",
        "    0.0001)",
        "    Change: Adam(learning_rate=0.003)",
        "    Explains: GL101",
        "    Try: Use ReLU.",
        "    Try: Use He initialization.",
        "    More: gradlog rule GL301",
        "    └ GL101 alarm · vanishing gradient · layer1/kernel · since step 0",
    ]
    told = json.loads(run("diagnose", logs, "--json")[1])["runs"][0]["findings"]
    assert [(one["code"], one["cause"], one["explains"]) for one in told] == [
        ("GL301", "", ["GL101"]),
        ("GL101", "GL301", []),
    ]
    assert told[0]["change"] == "Adam(learning_rate=0.003)"


def test_a_note_is_shown_and_needs_no_action(run, logs, found):
    found[3] = [finding(severity="note")]

    code, out, _ = run("diagnose", logs)

    assert code == 0
    assert "GL101 note" in out
    assert out.endswith("No findings in 2 runs. 1 note: no action needed.\n")
    assert "GL101" not in run("summary", logs)[1]
    content = json.loads(run("diagnose", logs, "--json")[1])
    assert (content["num_findings"], content["num_notes"]) == (0, 1)
    assert [one["severity"] for one in content["runs"][0]["findings"]] == ["note"]


def test_variables_choose_findings_but_rules_see_all_layers(run, logs, monkeypatch):
    seen = []
    findings = [finding(where=("layer1/kernel",)), finding(where=("layer2/kernel",)), finding("GL401", ())]
    monkeypatch.setattr(gradlog, "diagnose", lambda history: seen.append(history.variables) or findings)

    out = run("diagnose", logs / "relu", "--variables", "layer2", "--json")[1]

    assert [f["code"] + "".join(f["where"]) for f in json.loads(out)["runs"][0]["findings"]] == [
        "GL101layer2/kernel",
        "GL401",
    ]
    assert [len(variables) for variables in seen] == [4]


def test_runs_without_statistics_are_named_and_not_diagnosed(run, logs, found):
    write_scalars(logs / "foreign", {"loss": 1.0})
    found[0] = [finding()]  # what rules would make of a run without steps

    code, out, _ = run("diagnose", logs)

    assert (code, out.splitlines()) == (
        0,
        ["1 run without gradlog's statistics, not diagnosed: foreign", "", "No findings in 2 runs."],
    )
    assert run("diagnose", logs / "foreign")[0] == 2


@pytest.mark.parametrize("command", ["summary", "diagnose", "plot", "export"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "'missing' does not exist"),
        ([__file__], "is not a directory"),
        (["empty"], "no event files in or below 'empty'"),
        (["logs", "--runs", "tanh"], "no run matches --runs 'tanh'; available runs: relu, sigmoid"),
        (["logs", "--runs", "("], r"argument --runs: invalid regular expression '\(': .*"),
        (["logs", "--variables", "conv"], "no variable matches --variables 'conv'; available: layer1/kernel, "),
        (["logs", "--steps", "7:9"], "no logged step is within --steps 7:9; logged steps: 0 to 20"),
        (["logs", "--steps", "9:7"], "expected A:B with A <= B, received '9:7'"),
        (["logs", "--steps", "a:b"], "expected A:B, A:, :B or one step, such as 0:1000, received 'a:b'"),
        (["logs", "--colour"], "unrecognized arguments: --colour"),
        ([], "the following arguments are required: LOGDIR"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, tmp_path, monkeypatch, command, arguments, message):
    write_run(tmp_path / "logs" / "relu")
    write_run(tmp_path / "logs" / "sigmoid")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    output = {"plot": ["-o", "a.png"], "export": ["-o", "a.csv"]}.get(command, [])

    code, out, err = run(command, *arguments, *output)

    assert (code, out) == (2, "")
    assert re.fullmatch(f"error: .*{message}.*\n", err)
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("command", ["plot", "export"])
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("a.xls", r"expected \..*, received 'a.xls'"),
        ("missing/a{}", "the directory 'missing' does not exist"),
        ("directory{}", "received the directory 'directory"),
    ],
)
def test_an_output_that_cannot_be_written_is_said_before_anything_is_read(
    run, tmp_path, monkeypatch, command, output, message
):
    ending = {"plot": ".png", "export": ".csv"}[command]
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"directory{ending}").mkdir()

    code, out, err = run(command, "missing", "-o", output.format(ending))

    assert (code, out) == (2, "")
    assert re.fullmatch(f"error: .*{message}.*\n", err)


def test_an_error_of_the_file_system_is_said_in_one_line(run, logs, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", "relu/events")

    monkeypatch.setattr(gradlog, "read", fail, raising=False)

    assert run("summary", logs) == (2, "", "error: Permission denied: 'relu/events'\n")


def test_a_failure_that_nobody_foresaw_is_no_traceback(run, logs, monkeypatch):
    monkeypatch.setattr(gradlog, "diagnose", lambda history: 1 / 0)

    code, out, err = run("diagnose", logs)

    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: unexpected error \(ZeroDivisionError: .*\n", err)


def test_what_could_not_be_read_is_noted_on_standard_error(run, logs, monkeypatch):
    read = gradlog.read

    def noted(log_dir, tags=None):
        history = read(log_dir)
        history.notes = ("events.1 ends within a record.",)
        return history

    monkeypatch.setattr(gradlog, "read", noted, raising=False)

    code, out, err = run("diagnose", logs, "--runs", "relu")
    assert (code, out, err) == (0, "No findings in 1 run.\n", "note: relu: events.1 ends within a record.\n")


@pytest.mark.parametrize("command", ["summary", "diagnose", "plot", "export"])
def test_help_shows_examples_and_exit_codes(run, command):
    code, out, _ = run(command, "--help")

    assert code == 0
    assert out.count(f"  gradlog {command} ") >= 2
    assert "exit codes: 0 " in out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_only_on_a_terminal(run, logs, monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b" not in run("diagnose", logs)[1]

    assert console.colored("a", "red", Terminal()) == "\x1b[31ma\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.colored("a", "red", Terminal()) == "a"


def test_a_counter_shows_only_on_a_terminal_and_where_it_takes_long(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(console.counted([3, 4], "reading run")) == [3, 4]
    assert sys.stderr.getvalue() == ""

    monkeypatch.setattr(console, "_PROGRESS_AFTER", -1)
    assert list(console.counted([3, 4], "reading run")) == [3, 4]
    assert "\rreading run 2 of 2" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r\x1b[K")


def test_reading_commands_import_nothing_heavy(logs):
    for command in ("summary", "diagnose"):
        code = (
            "import sys; from gradlog.commands import cli; "
            f"assert cli.main(['{command}', {str(logs)!r}]) < 2; sys.exit(str({HEAVY} & sys.modules.keys() or ''))"
        ).replace(str(HEAVY), str(set(HEAVY)))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stderr.strip() == "", command


def test_a_pipe_that_nobody_reads_ends_it_quietly(logs):
    process = subprocess.Popen(
        [sys.executable, "-m", "gradlog", "summary", logs], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_output_that_cannot_be_printed_is_said_in_one_line(logs):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gradlog", "summary", logs]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)

    assert (done.returncode, done.stderr) == (2, "error: cannot print: No space left on device\n")


@pytest.mark.parametrize(("name", "log_dir", "code"), [("stdout", ".", 0), ("stderr", "missing", 2)])
def test_a_closed_stream_is_no_failure(logs, monkeypatch, name, log_dir, code):
    monkeypatch.setattr(sys, name, None)

    assert cli.main(["summary", str(logs / log_dir)]) == code


def test_a_title_that_is_wider_than_its_columns_moves_nothing():
    text = console.table([("", ["<run"]), ("a long title", ["x"]), ("", ["y"])], [["relu", "1", "2"]], 80)

    assert text.splitlines() == ["      a long title", "run              x  y", "relu             1  2"]


def test_the_installed_command_is_this_one():
    setup = configparser.ConfigParser()
    setup.read(Path(gradlog.__file__).parents[1] / "setup.cfg")

    assert setup["options.entry_points"]["console_scripts"].split() == ["gradlog", "=", "gradlog.commands.cli:main"]


def test_an_interrupt_ends_it_quietly(run, logs, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gradlog, "diagnose", interrupt)

    assert run("diagnose", logs) == (130, "", "")


def test_the_command_says_its_version(run):
    assert run("--version") == (0, f"gradlog {gradlog.__version__}\n", "")
    done = subprocess.run([sys.executable, "-m", "gradlog"], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the following arguments are required: COMMAND")
