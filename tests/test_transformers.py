"""The experiment on transformers: its text, its model, what each training changes, and its command line."""

import collections
import dataclasses
import json
import math

import keras
import networks
import numpy as np
import pytest

import gradlog
from experiments import transformer_model, transformer_numbers, transformer_text, transformers

pytestmark = pytest.mark.usefixtures("without_graph_optimizer", "variables_first")

SECONDS = transformers.Config(
    scenarios=("healthy", "post_norm"),
    blocks=2,
    width=16,
    heads=2,
    length=12,
    steps=21,
    batch_size=4,
    every=10,
    warmup=5,
)


@pytest.fixture(scope="module")
def text():
    return transformer_text.load()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, text):
    log_dir = tmp_path_factory.mktemp("transformers")
    config = dataclasses.replace(SECONDS, steps=5, every=2, warmup=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers, "build_model", networks.run_eagerly(transformers.build_model))
        return log_dir, transformers.run(config, log_dir, text)


def test_the_text_is_what_python_says_of_itself(text):
    from pydoc_data.topics import topics

    read = "".join(map(chr, np.concatenate([text.train, text.held_out])))
    assert all(topics[name].encode("ascii", "replace").decode() in read for name in ("assert", "yield", "lambda"))
    assert len(text.held_out) == pytest.approx(len(read) / 10, abs=1)


def test_targets_are_the_characters_that_follow(text):
    x, y = transformer_text.windows(text.train, np.array([0, 7]), 5)

    assert x.tolist() == [text.train[:5].tolist(), text.train[7:12].tolist()]
    assert y.tolist() == [text.train[1:6].tolist(), text.train[8:13].tolist()]
    x, _ = transformer_text.held_out(text, 64)
    assert x.shape == (128, 64)
    assert x[-1].tolist() == text.held_out[-65:-1].tolist()


def test_the_loss_of_counting_is_the_cross_entropy_with_the_frequencies(text):
    counts = collections.Counter(text.train.tolist())
    total = sum(counts.values()) + transformer_text.CHARACTERS
    expected = -sum(math.log((counts[one] + 1) / total) for one in text.held_out.tolist()) / len(text.held_out)

    assert transformer_text.loss_of_counting(text) == pytest.approx(expected)


@pytest.mark.parametrize("scenario", transformers.CHANGES)
def test_a_training_changes_what_it_says(scenario):
    model = transformers.build_model(SECONDS, scenario)
    rates = [float(model.optimizer._learning_rate(step)) for step in (0, 1, 5, 21)]
    factor, warmup = (100 if scenario == "large_rate" else 1), 0 if scenario.endswith("no_warmup") else 5

    assert rates[0] == pytest.approx(0 if warmup else 0.005)
    assert rates[1] == pytest.approx(factor * 0.001 if warmup else 0.005 * (1 + math.cos(math.pi / 21)) / 2)
    assert rates[3] == pytest.approx(0, abs=1e-9)
    block = model.get_layer("block_1")
    stream = block(np.random.default_rng(1).normal(3, 2, (2, 12, 16)).astype("float32"))
    is_normalized = np.allclose(keras.ops.convert_to_numpy(stream).mean(-1), 0, atol=1e-5)
    assert is_normalized == scenario.startswith("post_norm")


def test_a_model_does_not_see_what_follows():
    keras.utils.set_random_seed(1)
    model = transformer_model.language_model(128, 12, 2, 16, 2, is_post_norm=False)
    one = np.random.default_rng(1).integers(0, 128, (1, 12))
    other = np.where(np.arange(12) < 7, one, (one + 1) % 128)
    first, second = (model.predict(x, verbose=0)[0] for x in (one, other))

    np.testing.assert_allclose(first[:7], second[:7], atol=1e-5)
    assert not np.allclose(first[7:], second[7:], atol=1e-2)


def test_results_are_read_back_from_the_log(finished):
    log_dir, results = finished
    written = json.loads((log_dir / "results.json").read_text())

    assert written["scenarios"] == results["scenarios"]
    assert [row["scenario"] for row in results["scenarios"]] == list(SECONDS.scenarios)
    for row in results["scenarios"]:
        history = gradlog.read(log_dir / row["scenario"])
        steps = [history.statistic("update_ratio", name).max() for name in history.kernels()]
        assert history.steps.tolist() == [0, 2, 4]
        assert row["test_loss"] == pytest.approx(history.scalars["test/loss"].values[-1])
        assert row["largest_step"] == pytest.approx(max(steps))
        sizes = [history.scalars[f"stream_rms/block_{number}"].values[-1] for number in (0, 1)]
        assert row["stream_growth"] == pytest.approx(sizes[1] / sizes[0], rel=1e-5)
        assert row["cosine"] == pytest.approx(history.scalars["stream_cosine/block_1"].values[-1])
        entropies = [history.scalars[f"attention_entropy/block_{n}/attention"].values[-1] for n in (0, 1)]
        assert row["entropy"] == pytest.approx(min(entropies))


def test_blocks_stand_in_the_order_of_the_model(finished):
    history = gradlog.read(finished[0] / "healthy")

    assert transformer_numbers.blocks(history, "stream_rms").shape == (3, 2)
    assert history.kernels()[0] == "block_0/attention/query/kernel"
    assert history.kernels()[-1] == "next_character/kernel"


@pytest.mark.combinations
def test_the_command_prints_the_table_and_leaves_the_files(tmp_path, capsys):
    options = "--scenarios no_warmup --blocks 1 --width 8 --heads 2 --length 8 --steps 3 --every 2 --batch-size 2"
    assert transformers.main(["--logdir", str(tmp_path / "logs"), *options.split()]) == 0

    printed = capsys.readouterr().out
    assert "no_warmup" in printed
    assert "Counting characters" in printed
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"no_warmup", "results.json", "transformers.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "10", "--heads", "4"], "--width must be a multiple of --heads; received 10 and 4"),
        (["--scenarios", "sick"], "invalid choice: 'sick'"),
        (["--length", "1"], "argument --length: 1 is too small, expected 2 or more"),
    ],
)
def test_bad_options_are_one_clear_line(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        transformers.main(["--logdir", str(tmp_path / "logs"), *arguments])

    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()
