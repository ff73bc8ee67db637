"""What every test needs ahead of TensorFlow, and what a run says at its end: the processor's time and the memory."""

import functools
import gc
import os
import re
import resource
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # where it is tried on a GPU, too
_IS_TENSORFLOW = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
_USAGES, _LEFT_OUT = pytest.StashKey[dict](), pytest.StashKey[list]()
_NEEDS_TENSORFLOW = re.compile(r"^(?:import|from) (?:tensorflow|gradlog\.backends\.tensorflow)\b", re.MULTILINE)


def _usage():
    """Returns the seconds of processor, with the processes that were started, and the largest memory in bytes."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return {"seconds": seconds, "bytes": own.ru_maxrss * 1024}


# Files with few tests that take long: they come first, or one worker would be at them while the others are done.
_FIRST = (
    "test_keras_features",
    "test_faults",
    "test_logger",
    "test_logger_trainings",
    "test_logger_tensorflow",
    "test_tensorboard_page",
    "test_check",
    "test_distribution",
    "test_activations",
    "test_activations_harmless",
    "test_documented",
    "test_repair",
    "test_remedies",
    "test_package",
    "test_several_optimizers",
)


def pytest_configure(config):
    config.stash[_USAGES], config.stash[_LEFT_OUT] = {}, []
    if not _IS_TENSORFLOW:  # whose run has tests of its own for what those of the engines try
        config.option.markexpr = config.option.markexpr.replace(" and not engines", "")
    config.option.loadscopereorder = False  # which would hand out the files with most tests first
    if not config.getoption("numprocesses", None):  # this process runs the tests
        import keras

        if keras.backend.backend() == "tensorflow":
            _keep_no_stacks()
            _tune_no_data()
        gc.freeze()  # what TensorFlow and Keras have made need not be looked through again and again


def _keep_no_stacks():
    """Has operations of a graph keep no stack of their own, which takes a tenth of all time to trace.

    It is what TensorFlow adds to the message of an operation that fails as it runs, and no test looks at it.
    """
    from tensorflow.python.framework import ops

    ops._create_c_op = functools.partial(ops._create_c_op, extract_traceback=False)


def _tune_no_data():
    """Has datasets yield what they hold without a thread that tunes them.

    As an iterator is let go of, TensorFlow waits for that thread, which may oversleep by a minute or more while the
    test's thread, that holds Python's lock, stands still.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    tf.data.Dataset._apply_debug_options = lambda self: self.with_options(options)


def pytest_ignore_collect(collection_path, config):
    """Leaves a file that imports TensorFlow at its top to that engine; the summary says so."""
    if _IS_TENSORFLOW or collection_path.suffix != ".py":
        return None
    if not _NEEDS_TENSORFLOW.search(collection_path.read_text()):
        return None
    config.stash[_LEFT_OUT].append(collection_path.stem)
    return True


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One worker more than there are cores: several tests wait, for a browser or for a process that they started."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def _forget_graphs():
    """Lets go of the graphs of a test: TensorFlow registers the gradient of each softmax's step, and keeps the step."""
    yield
    if "tensorflow" not in sys.modules:
        return
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


@pytest.fixture(scope="module")
def without_graph_optimizer():
    """Has TensorFlow run graphs as they are traced: to optimize them takes an eighth of the time.

    For files that compare no training with one without a logger, which has to stay what it is optimized, too.
    """
    if "tensorflow" not in sys.modules:
        yield
        return
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.fixture
def unhurried(monkeypatch):
    """Has each step written and diagnosed before the next one, however long that takes on a machine that is busy."""
    monkeypatch.setattr("gradlog.diagnosis.monitor._SECONDS", 60)
    monkeypatch.setattr("gradlog.session.session.SECONDS_AT_FIRST", 60)


@pytest.fixture(scope="module")
def variables_first():
    """Has Keras make the variables of metrics and optimizer ahead of a model's first step, which else is traced twice.

    So it does it on the other engines. For files that ask nothing of the first step of a model that is new.
    """
    if "tensorflow" not in sys.modules:
        yield
        return
    import keras
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TensorFlowTrainer, "_maybe_symbolic_build", keras.Model._symbolic_build)
        yield


@pytest.fixture(autouse=True, scope="module")
def _forget_models(request):
    """Lets go of the models of a file, those that its functions have kept, too, ahead of the next file's."""
    yield
    for one in list(vars(request.module).values()):
        if getattr(one, "__module__", None) == request.module.__name__ and hasattr(one, "cache_clear"):
            one.cache_clear()
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.backend.clear_session()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    gc.collect()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["usage"] = _usage()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Keeps what a worker of xdist used, which it says as it ends."""
    if usage := getattr(node, "workeroutput", {}).get("usage"):
        node.config.stash[_USAGES][node.gateway.id] = usage


def pytest_terminal_summary(terminalreporter, config):
    if left_out := config.stash[_LEFT_OUT]:
        terminalreporter.write_line(f"Left to TensorFlow, which they import: {', '.join(sorted(set(left_out)))}")
    usages = config.stash[_USAGES] or {"this process": _usage()}
    workers = ", ".join(f"{name} {usage['bytes'] / 2**30:.1f} GiB" for name, usage in sorted(usages.items()))
    seconds = sum(usage["seconds"] for usage in usages.values())
    terminalreporter.write_line(f"{seconds:.0f} s of processor; at most, of memory: {workers}")
