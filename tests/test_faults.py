"""Whatever function of gradlog raises while a model trains, the training is the one without it, and it is said once.

Which functions there are is found by looking: all that run while a small network trains are made to raise, each in a
training of its own. The ordinary run breaks one of each module; `pytest -m faults` breaks all, in every way to train.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
from pathlib import Path

import faults
import keras
import pytest
from marks import in_combinations

import gradlog
from gradlog.backends.engine import engine

pytestmark = pytest.mark.usefixtures("without_graph_optimizer")

# What runs in no training, or on another engine.
ELSEWHERE = {"commands", "tensorboard", "__main__.py"} | {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
MODULES = sorted(
    path.relative_to(faults.ROOT).as_posix()
    for path in faults.ROOT.rglob("*.py")
    if not ELSEWHERE & set(path.relative_to(faults.ROOT).parts)
)
HOOKS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_end",
    "on_train_end",
)
ORDINARY_HOOKS = ("on_train_batch_end", "on_train_end")  # of which the ordinary run tries one function


@pytest.fixture(scope="module")
def reached_in(tmp_path_factory):
    """A function of a way to train that returns the code of the functions that run meanwhile."""
    log_dir = tmp_path_factory.mktemp("reached")
    return lambda way: faults.reached_in(way, log_dir)


def of_module(codes, module):
    return [code for code in codes if faults.module_of(code) == module]


def complaints_of_all(way, codes, tmp_path, **arguments):
    found = {
        faults.name_of(code): faults.complaints(way, code, tmp_path / str(number), **arguments)
        for number, code in enumerate(codes)
    }
    return "\n".join(f"{name}: {'; '.join(complaints)}" for name, complaints in found.items() if complaints)


@pytest.mark.parametrize("module", MODULES)
def test_the_first_function_of_a_module_raises(tmp_path, reached_in, module):
    codes = of_module(reached_in(faults.BRIEFLY), module)[:1]

    assert not complaints_of_all(faults.BRIEFLY, codes, tmp_path)


@pytest.mark.parametrize("way", [way for way in ("fit", "train", "attach compiled") if way in faults.WAYS])
def test_a_function_that_computes_raises(tmp_path, reached_in, way):
    codes = of_module(reached_in("fit eagerly"), "stats/buckets.py")[:1]

    assert not complaints_of_all(way, codes, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("way", faults.WAYS)
def test_any_function_of_a_module_raises(tmp_path, reached_in, way, module):
    assert not complaints_of_all(way, of_module(reached_in(way), module), tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("module", MODULES)
def test_any_function_of_a_module_raises_once(tmp_path, reached_in, module):
    assert not complaints_of_all("fit", of_module(reached_in("fit"), module), tmp_path, is_permanent=False)


# Ctrl-C.


class At(keras.callbacks.Callback):
    """Does something whenever a hook is called, and counts how often it is."""

    def __init__(self, hook, act):
        super().__init__()
        self.number, self._act = 0, act
        setattr(self, hook, self._call)

    def _call(self, *args, **kwargs):
        self.number += 1
        self._act(self.number)


def interrupted(way, hook, code, log_dir):
    """Presses Ctrl-C where a function runs in a hook; returns the trainer, the logger, and which call that was.

    Returns `None` where nothing ran the function in that hook this time, since the diagnosis may have come before, or
    where a thread of gradlog's ran it first, since Ctrl-C reaches only the main thread.
    """
    trainer, logger, stack = faults.trainer(way), faults.logger_of(log_dir, way), contextlib.ExitStack()
    breakages = []

    def arm(number):
        if number == 1:
            faults.learn_functions()  # also those that the logger has made
        breakages.append(stack.enter_context(faults.broken(code, KeyboardInterrupt, is_permanent=False)))

    before, after = At(hook, arm), At(hook, lambda number: stack.close())
    try:
        with stack, pytest.raises(KeyboardInterrupt):
            trainer.train(before, logger, after)
    except pytest.fail.Exception:
        faults.trainer.cache_clear()
        assert breakages, f"{hook} was not called"
        if any(one.num_calls for one in breakages) and all(one.is_in_main_thread for one in breakages):
            raise
        return None
    return trainer, logger, before.number


def press(at, number):
    if number == at:
        raise KeyboardInterrupt


def check_ctrl_c(way, hook, code, log_dir):
    """Has the training end where Ctrl-C was pressed, and go on, first without the logger and then with it.

    Returns whether it was pressed: whether the hook ran the function in one of a few trainings.
    """
    tried = (interrupted(way, hook, code, f"{log_dir}-{number}") for number in range(5))
    trainer, logger, number = next(filter(None, tried), (None, None, 0))
    if trainer is None:
        return False
    plain = faults.other_trainer(way)
    with pytest.raises(KeyboardInterrupt):
        plain.train(At(hook, functools.partial(press, number)))

    assert faults.is_equal(faults.state(trainer.model), faults.state(plain.model))
    assert faults.attributes(trainer.model) == faults.attributes(plain.model)
    for callbacks in ([], [logger]):
        said = trainer.go_on(*callbacks)
        plain.go_on()
        assert faults.is_equal(faults.state(trainer.model), faults.state(plain.model))
        assert not [text for text in said if text.startswith(faults.STOPPED)]
    assert faults.attributes(trainer.model) == faults.attributes(plain.model)
    assert logger.error is None
    check_file(logger.log_dir, int(trainer.model.optimizer.iterations.numpy()))
    return True


def check_file(log_dir, end):
    """The last training's steps have been written, and all that was written can be read."""
    logged = gradlog.read(log_dir)
    due = [step for step in range(end - faults.NUM_STEPS, end) if step % 2 == 0]
    assert logged.steps.tolist()[-len(due) :] == due
    assert logged.notes == ()


def hook_and_what_it_calls(way, hook, tmp_path, reached_in):
    """Returns the code of a hook, and of what can be broken of what it calls, as it calls it first."""
    reached_in(way)
    code, trainer = inspect.unwrap(getattr(gradlog.GradientLogger, hook)).__code__, faults.trainer(way)
    inside = faults.reached(lambda: trainer.train(faults.logger_of(tmp_path / "inside", way)), within=code)
    return [code, *filter(faults.can_break, inside)]


@pytest.mark.parametrize("hook", [hook if hook in ORDINARY_HOOKS else in_combinations(hook) for hook in HOOKS])
def test_ctrl_c_reaches_the_user(tmp_path, reached_in, hook):
    codes = hook_and_what_it_calls("fit eagerly", hook, tmp_path, reached_in)
    from_the_middle = [*codes[len(codes) // 2 :], *reversed(codes[: len(codes) // 2])]

    pressed = (check_ctrl_c("fit eagerly", hook, code, tmp_path / str(at)) for at, code in enumerate(from_the_middle))

    assert any(pressed)


@pytest.mark.faults
@pytest.mark.parametrize("hook", HOOKS)
def test_ctrl_c_reaches_the_user_anywhere(tmp_path, reached_in, hook):
    found, missed = {}, []
    for number, code in enumerate(hook_and_what_it_calls("fit", hook, tmp_path, reached_in)):
        try:
            if not check_ctrl_c("fit", hook, code, tmp_path / str(number)):
                missed.append(code)
        except (AssertionError, pytest.fail.Exception) as error:
            found[faults.name_of(code)] = str(error).splitlines()[0]
            faults.trainer.cache_clear()

    assert not found, "\n".join(f"{name}: {text}" for name, text in found.items())
    # What a thread may do ahead of the hook: make statistics of what was recorded, write them, and diagnose them.
    in_a_thread = ("backends/recorded", "diagnosis/", "history/", "session/w", "stats/", "writers/")
    assert not [faults.name_of(code) for code in missed if not faults.module_of(code).startswith(in_a_thread)]


# Keras' insides.


def private_names():
    """What gradlog uses of Keras' insides, as it lists it itself."""
    if importlib.util.find_spec("gradlog.backends.keras_private") is None:
        return []
    names = importlib.import_module("gradlog.backends.keras_private").PRIVATE_NAMES
    return [*names, *engine().private_names()]


def trains_without(private, monkeypatch):
    """Removes a name from all classes of what has it; returns whether it did, and Keras itself trains without.

    On PyTorch an optimizer has some of its methods from a class of its own.
    """
    model = faults.network(run_eagerly=True)
    kind = type(model if private.owner is keras.Model else model.optimizer)
    owners = [one for one in kind.__mro__ if private.name in vars(one)]
    for one in owners:
        monkeypatch.delattr(one, private.name)
    try:
        faults.Trainer(faults.fit, run_eagerly=True)
    except Exception:
        return False
    return bool(owners)  # else an attribute of its instances


@pytest.mark.parametrize("private", private_names(), ids=lambda one: f"{one.owner.__name__}.{one.name}")
def test_a_private_name_that_keras_no_longer_has(tmp_path, monkeypatch, reached_in, private):
    reached_in("fit eagerly")
    module = importlib.import_module("gradlog.backends.keras_private")
    missing = contextlib.nullcontext()
    with monkeypatch.context() as removed:
        if not trains_without(private, removed):  # Keras needs it: say alone that it is missing
            removed.undo()
            missing = faults.replaced(inspect.unwrap(module.missing_names).__code__, lambda: [private])
        one, logger = faults.Trainer(faults.fit, run_eagerly=True), faults.logger_of(tmp_path / "run", "fit")
        with missing:
            said = one.train(logger)

    said = [text for text in said if "gradlog" in text]
    assert len(said) == 1, said
    assert private.name in said[0]
    assert faults.is_equal(faults.state(one.model), one.plain)
    assert faults.attributes(one.model) == one.plain_attributes
    assert not list(tmp_path.rglob("*.gradlog"))


# The harness itself.


def test_what_runs_in_a_training_is_found(reached_in):
    names = {faults.name_of(code).partition(" ")[2] for code in reached_in("fit eagerly")}
    packages = {faults.module_of(code).partition("/")[0] for code in reached_in("fit eagerly")}

    assert packages >= {"backends", "diagnosis", "events", "history", "session", "stats", "writers"}
    assert names >= {"BackgroundWriter._work", "EventWriter._write", "MemoryWriter.write", "Finding.markdown"}
    assert not names & set(faults.hooks())
    assert len(names) > 200


def _pair(first, /, second=2, *rest, third=3, **more):
    def inner():
        return [first + number for number in rest], second, third, more

    return inner()


class _Parent:
    @property
    def value(self):
        return 1


class _Child(_Parent):
    @property
    def value(self):
        return super().value + 1

    @classmethod
    def numbers(cls, until):
        yield from range(until)


CASES = {
    "function": (_pair.__code__, lambda: _pair(1, 2, 3, more=5)),
    "function inside": (_pair.__code__.co_consts, lambda: _pair(1, 2, 3)),
    "property": (_Child.value.fget.__code__, lambda: _Child().value),
    "generator": (_Child.numbers.__func__.__code__, lambda: list(_Child.numbers(3))),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_permanent", [True, False])
def test_a_broken_function_raises_and_is_mended(monkeypatch, case, is_permanent):
    monkeypatch.setattr(faults, "ROOT", Path(__file__).parent)
    code, call = CASES[case]
    code = next(filter(inspect.iscode, code)) if isinstance(code, tuple) else code
    faults.learn_functions()
    expected = call()

    with faults.broken(code, is_permanent=is_permanent) as breakage:
        with pytest.raises(faults.Fault, match=r"of gradlog's own, in test_faults\.py:"):
            call()
        if is_permanent:
            with pytest.raises(faults.Fault):
                call()
        else:
            assert call() == expected

    assert breakage.num_calls == 1 + is_permanent
    assert call() == expected
