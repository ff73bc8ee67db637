"""The overhead experiment says what it ran on: its tables and its results file name the engine and the device."""

import json
import os
import types

import keras
import pytest

from experiments import overhead, overhead_device
from gradlog.backends.engine import engine

ENGINE = keras.backend.backend()
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
GPU = "NVIDIA H200"


def committed(name):
    name = overhead.results_name({"engine": name, "device": "CPU, 2 cores"})
    return json.loads((overhead.RESULTS_DIR / name).read_text())


@pytest.fixture
def nothing_is_measured(monkeypatch):
    """Makes `run` return the committed results of each part instead of measuring."""
    results = committed(ENGINE)
    monkeypatch.setattr(overhead, "measure_fit", lambda *args: results["fit"])
    if ENGINE != "tensorflow":
        return
    from experiments import overhead_loop, overhead_tensor

    monkeypatch.setattr(overhead, "measure_reading", lambda *args: results["reading"])
    monkeypatch.setattr(overhead_loop, "measure", lambda *args: results["loop"])
    monkeypatch.setattr(overhead_tensor, "measure", lambda *args: results["tensor"])
    monkeypatch.setattr(overhead_tensor, "bytes_on_disk", lambda *args: results["disk"])


@pytest.mark.parametrize("gpu", [None, GPU])
@pytest.mark.usefixtures("nothing_is_measured")
def test_the_quick_run_names_the_engine_and_the_device(monkeypatch, capsys, gpu):
    monkeypatch.setattr(overhead_device, "_gpu", lambda: gpu)
    before = {path: path.stat().st_mtime for path in overhead.RESULTS_DIR.iterdir()}

    assert overhead.main(["--quick"]) == 0

    printed = " ".join(capsys.readouterr().out.split())
    (version,) = engine().version().values()
    assert f"· on {NAMES[ENGINE]} {version} · {gpu or f'CPU, {os.cpu_count()} cores'}" in printed
    assert {path: path.stat().st_mtime for path in overhead.RESULTS_DIR.iterdir()} == before


@pytest.mark.parametrize("gpu", [None, GPU])
@pytest.mark.usefixtures("nothing_is_measured")
def test_a_whole_run_says_where_its_numbers_are(monkeypatch, capsys, tmp_path, gpu):
    monkeypatch.setattr(overhead_device, "_gpu", lambda: gpu)
    monkeypatch.setattr(overhead, "RESULTS_DIR", tmp_path)

    assert overhead.main([]) == 0

    (path,) = tmp_path.iterdir()
    of_engine = "" if ENGINE == "tensorflow" else f"_{ENGINE}"
    assert path.name == (f"overhead{of_engine}_gpu.json" if gpu else f"overhead{of_engine}.json")
    assert f"Numbers: {path}" in capsys.readouterr().out
    written = json.loads(path.read_text())
    assert (written["engine"], written["device"]) == (ENGINE, gpu or f"CPU, {os.cpu_count()} cores")


@pytest.mark.parametrize(
    ("ran_on", "device", "name"),
    [
        ("tensorflow", "CPU, 2 cores", "overhead.json"),
        ("jax", "CPU, 64 cores", "overhead_jax.json"),
        ("torch", "CPU, 2 cores", "overhead_torch.json"),
        ("tensorflow", GPU, "overhead_gpu.json"),
        ("jax", GPU, "overhead_jax_gpu.json"),
        ("torch", "NVIDIA H100 80GB HBM3", "overhead_torch_gpu.json"),
    ],
)
def test_each_engine_and_a_gpu_have_a_file_of_results(ran_on, device, name):
    assert overhead.results_name({"engine": ran_on, "device": device}) == name


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_results_are_of_the_engine_and_device_in_their_name(name):
    results = committed(name)

    assert results["engine"] == name
    assert results["device"].startswith("CPU, ")
    assert name in results["versions"]


def pretend_tensorflow(patch):
    import tensorflow as tf

    patch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    patch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": GPU})


def pretend_jax(patch):
    import jax

    patch.setattr(jax, "default_backend", lambda: "gpu")
    patch.setattr(jax, "devices", lambda: [types.SimpleNamespace(device_kind=GPU)])


def pretend_torch(patch):
    import torch

    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "get_device_name", lambda: GPU)


def test_the_name_of_a_gpu_is_what_the_engine_says(monkeypatch):
    """The engine is patched to report a GPU."""
    {"tensorflow": pretend_tensorflow, "jax": pretend_jax, "torch": pretend_torch}[ENGINE](monkeypatch)

    assert overhead_device.name() == GPU
