"""On every engine: a training, reading its log, the command and the tab import no other engine.

`tests/test_architecture.py` shows that gradlog's own modules name no other engine. These tests look at a whole process,
where a library that gradlog calls could import one.
"""

import json
import subprocess
import sys

import keras
import pytest
from processes import environment

pytestmark = pytest.mark.engines
ENGINE = keras.backend.backend()
OTHERS = sorted({"tensorflow", "jax", "torch"} - {ENGINE})
CODE = """
import json, sys, types
log_dir, others = sys.argv[1], set(sys.argv[2:])
asked_for = []
class Asked:
    def find_spec(name, path=None, target=None):
        if name in others:
            asked_for.append(name)
sys.meta_path.insert(0, Asked)
# By this module TensorBoard knows that it has to read without TensorFlow, which it would else import where it can.
sys.modules["tensorboard.compat.notf"] = types.ModuleType("tensorboard.compat.notf")

import keras, networks
def trained(callbacks=()):
    model, (x, y) = networks.dense_network(activation="relu"), networks.data()
    model.fit(x, y, batch_size=16, epochs=2, validation_data=(x, y), verbose=0, callbacks=list(callbacks))
    model.evaluate(x, y, verbose=0, callbacks=list(callbacks))
trained()
of_keras = others & set(sys.modules)  # where they are installed, Keras itself imports JAX and TensorFlow
asked_for.clear()

import gradlog
logger = gradlog.GradientLogger(log_dir, every=2, activations=networks.data()[0], optimizer_state=True)
trained([logger])
assert logger.error is None, logger.error
assert gradlog.read(log_dir).steps.tolist() == [0, 2, 4, 6, 8, 10]
gradlog.check(networks.dense_network(), *networks.data())

from gradlog.commands import cli
for verb in ("diagnose", "summary"):
    assert cli.main([verb, log_dir]) in (0, 1)

from gradlog.tensorboard.plugin import GradientsLoader
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins.base_plugin import TBContext
from werkzeug.test import Client
multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRun(log_dir, "run")
multiplexer.Reload()
provider = data_provider.MultiplexerDataProvider(multiplexer, log_dir)
apps = GradientsLoader().load(TBContext(data_provider=provider)).get_plugin_apps()
queries = {
    "runs": "",
    "table": "run=run&statistic=gradient_norm",
    "histograms": "run=run&kind=gradient&variable=layer1/kernel",
    "findings": "run=run",
}
for name, query in queries.items():
    answer = Client(apps[f"/data/{name}"]).get(f"/?{query}")
    assert answer.status_code == 200, answer.get_data()
    assert answer.get_json()

print(json.dumps([sorted(others & set(sys.modules)), sorted(of_keras), asked_for]))
"""


def test_no_other_engine_is_imported(tmp_path):
    """Once Keras has trained a model, nothing may even look for an engine that is not installed."""
    command = [sys.executable, "-c", CODE, str(tmp_path / "run"), *OTHERS]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr[-3000:]
    imported, of_keras, asked_for = json.loads(ended.stdout.splitlines()[-1])
    assert asked_for == []
    assert imported == of_keras
    assert "torch" not in imported
