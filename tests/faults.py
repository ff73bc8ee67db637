"""Faults: which functions of gradlog run while a model trains, and what a training is like where one of them raises.

A `Trainer` trains a small network in one of several ways. `reached` trains so once and returns the code of all
functions of gradlog that ran meanwhile, in any thread. `broken` is a context in which one of them raises: its code
is exchanged in every function that has it, or within the function around it, so that closures, generators and
properties, and what TensorFlow calls as it traces, break alike.
"""

import contextlib
import functools
import gc
import inspect
import re
import sys
import threading
import types
import warnings
import weakref
from pathlib import Path

import keras
import networks
import numpy as np

import gradlog
from gradlog import train as gradlog_train  # here, since to import a name is not to train
from gradlog.backends.engine import engine
from gradlog.diagnosis.rules.rule import Symptom
from gradlog.diagnosis.rules.table import RULES
from gradlog.writers import MemoryWriter

ROOT = Path(gradlog.__file__).parent
STOPPED = "gradlog stopped"  # how the one warning begins that tells of a failure of the logger's own
# What a training may end of: the loop is the training itself, the checks refuse what the user asked for. And of the
# guard itself, which is what catches, and what it warns with.
MAY_RAISE = re.compile(r"/(loop|checks|guard|inform)\.py$")
NUM_EPOCHS, NUM_BATCHES, BATCH_SIZE = 2, 3, 8
NUM_STEPS = NUM_EPOCHS * NUM_BATCHES


class Fault(RuntimeError):  # noqa: N818, it is not an error of the test
    """What a broken function raises."""


# Which functions run.


def reached(train, within=None):
    """Returns the code of every function of gradlog that runs in `train`, in the order of their first calls.

    Args:
        train: A function without arguments.
        within: Code of a function; only what is called while that runs, in its thread, counts.
    """
    found = {}

    def profile(frame, event, _):
        if event == "call" and is_of_gradlog(frame.f_code) and (within is None or _is_within(frame, within)):
            found.setdefault(frame.f_code)

    earlier = sys.getprofile(), threading.getprofile()
    sys.setprofile(profile)
    threading.setprofile(profile)
    try:
        train()
    finally:
        sys.setprofile(earlier[0])
        threading.setprofile(earlier[1])
    return list(filter(_is_function, found))


def can_break(code):
    """Whether a training has to survive it where this function raises."""
    return not MAY_RAISE.search(code.co_filename) and code not in hooks().values()


# `gradlog.train` is a training loop beside, which the engine runs.
OF_THE_LOOP = {"train": (engine.__code__,)}


def hooks():
    """Returns the code of what Keras and the user call of a logger, by name; before it begins, nothing can catch."""
    members = {name: getattr(member, "fget", member) for name, member in vars(gradlog.GradientLogger).items()}
    functions = {name: one for name, one in members.items() if isinstance(one, types.FunctionType)}
    return {name: function.__code__ for name, function in functions.items() if not name.startswith("_")}


def is_of_gradlog(code):
    return code.co_filename.startswith(f"{ROOT}/")


def module_of(code):
    return Path(code.co_filename).relative_to(ROOT).as_posix()


def name_of(code):
    return f"{module_of(code)}:{code.co_firstlineno} {getattr(code, 'co_qualname', code.co_name)}"


def _is_function(code):
    """Whether code is a function's, not a module's or a class body's."""
    return bool(code.co_flags & inspect.CO_NEWLOCALS and code.co_flags & inspect.CO_OPTIMIZED)


def _is_within(frame, code):
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


# One that raises.


class Breakage:
    """What a broken function calls instead of doing anything: it raises, each time or the first time alone."""

    def __init__(self, code, error=Fault, is_permanent=True, mend=lambda: None):
        self.is_in_main_thread, self.num_calls, self.message = True, 0, f"of gradlog's own, in {name_of(code)}"
        self._error, self._is_permanent, self._mend = error, is_permanent, mend

    def __call__(self):
        self.num_calls += 1
        self.is_in_main_thread = threading.current_thread() is threading.main_thread()
        if not self._is_permanent:
            self._mend()
        raise self._error(self.message)


@contextlib.contextmanager
def broken(code, error=Fault, is_permanent=True):
    """Has every function with this code raise, as a context of a `Breakage`; afterwards all is as it was."""
    with contextlib.ExitStack() as mended:
        breakage = Breakage(code, error, is_permanent, mended.close)
        mended.enter_context(replaced(code, breakage))
        yield breakage


@contextlib.contextmanager
def replaced(code, function):
    """Has every function with this code call another function, without arguments, as a context."""
    other, earlier = calling(code, function), []
    for one in _functions():
        new = _exchanged(one.__code__, code, other)
        if new is not one.__code__:
            earlier.append((one, one.__code__))
            one.__code__ = new
    try:
        yield
    finally:
        for one, old in earlier:
            one.__code__ = old


_KNOWN = weakref.WeakSet()


def learn_functions():
    """Looks up every function of gradlog that there is, closures too: so late that all are made that last."""
    _KNOWN.update(one for one in gc.get_objects() if _is_ours(one))


def _functions():
    """Returns them, and those made since, of a logger for example."""
    return {*_KNOWN, *(one for generation in (0, 1) for one in gc.get_objects(generation) if _is_ours(one))}


def _is_ours(one):
    return type(one) is types.FunctionType and is_of_gradlog(one.__code__)


def _exchanged(code, old, new):
    """Returns code with other code in the place of `old`, be it all or a function inside; itself if it has none."""
    if code is old:
        return new
    constants = tuple(_exchanged(one, old, new) if inspect.iscode(one) else one for one in code.co_consts)
    if all(one is other for one, other in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=constants)


_SOURCE = """
def around():
    {cells}
    def inner({parameters}):
        call_instead = "FUNCTION"
        return call_instead()
        {more}
"""


def calling(code, function):
    """Returns code that takes the same arguments, and returns what `function()` returns."""
    cells = "".join(f"{name} = None; " for name in code.co_freevars)
    more = [*code.co_freevars, *["yield"] * bool(code.co_flags & inspect.CO_GENERATOR)]
    source = _SOURCE.format(cells=cells or "pass", parameters=_parameters(code), more="; ".join(more) or "pass")
    (around,) = filter(inspect.iscode, compile(source, code.co_filename, "exec").co_consts)
    (inner,) = filter(inspect.iscode, around.co_consts)
    assert inner.co_freevars == code.co_freevars
    names = {name: getattr(code, name) for name in ("co_name", "co_qualname", "co_firstlineno") if hasattr(code, name)}
    return inner.replace(co_consts=tuple(function if one == "FUNCTION" else one for one in inner.co_consts), **names)


def _parameters(code):
    """Returns the parameters of code, as they are written; defaults stay with the function."""
    names = [name.replace(".", "_") for name in code.co_varnames]  # a comprehension's is `.0`
    first, last = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    parameters = [*names[: code.co_posonlyargcount], *["/"] * bool(code.co_posonlyargcount)]
    parameters += names[code.co_posonlyargcount : first]
    has_more = bool(code.co_flags & inspect.CO_VARARGS)
    if has_more or code.co_kwonlyargcount:
        parameters.append(f"*{names[last]}" if has_more else "*")
    parameters += names[first:last]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parameters.append(f"**{names[last + has_more]}")
    return ", ".join(parameters)


# What trains.


def network(**arguments):
    """Two layers whose first is nearly dead."""
    keras.utils.set_random_seed(0)
    dead = keras.initializers.Constant([-100.0] * 15 + [0.0])
    layers = [
        keras.layers.Dense(16, "relu", bias_initializer=dead, name="layer1"),
        keras.layers.Dense(3, name="layer2"),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, global_clipnorm=1.0)
    model.compile(optimizer, loss, metrics=["accuracy"], **arguments)
    model.optimizer.build(model.trainable_variables)
    return model


@functools.cache
def data():
    """Inputs [24, 4] and labels [24]."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_BATCHES * BATCH_SIZE, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 1)


def dataset():
    return batches(BATCH_SIZE).repeat()


@functools.cache
def batches(size):
    """Returns the data in batches, once for all trainings: arrays are made a dataset again for each."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(data()).batch(size)


def state(model):
    """Everything that training changes: weights, the optimizer's variables with its step, metrics."""
    return [np.array(one) for one in (*model.weights, *model.optimizer.variables, *model.metrics_variables)]


def attributes(model):
    """What stands on the model, its layers and its optimizer, by name, with its kind."""
    parts = {"model": model, "optimizer": model.optimizer} | {layer.name: layer for layer in model.layers}
    return {f"{part}.{name}": _kind(value) for part, owner in parts.items() for name, value in vars(owner).items()}


def _kind(value):
    return f"{type(value).__module__}.{type(value).__qualname__} {getattr(value, '__module__', '')}"


class Always:
    """A rule that has something to say of whatever is logged."""

    code, name = "GL000", "always"

    def symptoms(self, evidence):
        where = np.ones((len(evidence.steps), len(evidence.variables)), bool)
        message = "In {where}: {measured}."
        yield Symptom(
            where[:, 0],
            np.ones(len(where)),
            0,
            message,
            ("Do nothing.",),
            evidence.variables,
            where,
            min_logged_steps=1,
        )


class Trainer:
    """Trains one network again and again, from the same weights, in one way.

    Args:
        way: A function of a model and a list of callbacks, that trains the model.
        **arguments: For `compile`.

    Attributes:
        model: The network.
        plain: What it comes to without a logger, as `state` has it.
        plain_attributes: What then stands on it.
    """

    def __init__(self, way, **arguments):
        self._way, self.model = way, network(**arguments)
        self._start = [(one, np.array(one)) for one in (*self.model.weights, *self.model.optimizer.variables)]
        self.train()
        self.plain, self.plain_attributes = state(self.model), attributes(self.model)

    def train(self, *callbacks):
        """Trains from the start; returns the warnings that are meant for the user."""
        self.restart()
        return self.go_on(*callbacks)

    def go_on(self, *callbacks):
        """Trains on; returns the warnings that are meant for the user."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._way(self.model, list(callbacks))
        return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]

    def restart(self):
        """Gives the network the weights it began with."""
        keras.utils.set_random_seed(1)
        for variable, value in self._start:
            variable.assign(value)


def logger_of(log_dir, way):
    """Returns a logger that does whatever a logger can do in this way to train."""
    activations = None if way.startswith("attach") else data()[0][:8]
    arguments = {"activations": activations, "rules": [Always(), *RULES], "writers": [MemoryWriter()]}
    return gradlog.GradientLogger(log_dir, every=2, **arguments)


def fit(model, callbacks, epochs=NUM_EPOCHS):
    if networks.IS_TENSORFLOW:
        training, validation = [batches(BATCH_SIZE)], batches(NUM_BATCHES * BATCH_SIZE)
    else:
        training, validation = data(), data()
    arguments = {"batch_size": None if networks.IS_TENSORFLOW else BATCH_SIZE, "shuffle": False, "verbose": 0}
    model.fit(*training, validation_data=validation, epochs=epochs, **arguments, callbacks=callbacks)


def train(model, callbacks):
    gradlog_train(model, dataset(), steps=NUM_STEPS, steps_per_execution=4, callbacks=callbacks)


def attach(is_compiled, model, callbacks):
    import tensorflow as tf

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    step = tf.function(step) if is_compiled else step
    with contextlib.ExitStack() as stack:
        for logger in callbacks:
            stack.enter_context(logger.attach(model, model.optimizer))
        for x, y in dataset().take(NUM_STEPS):
            step(x, y)


WAYS = {
    "fit": (fit, {}),
    "fit eagerly": (fit, {"run_eagerly": True}),
}
if keras.backend.backend() != "torch":  # Keras refuses it there
    WAYS["fit, many steps a call"] = fit, {"steps_per_execution": 3}
if networks.IS_TENSORFLOW:
    WAYS |= {
        "train": (train, {}),
        "attach eagerly": (functools.partial(attach, False), {}),
        "attach compiled": (functools.partial(attach, True), {}),
    }


BRIEFLY = "an epoch, eagerly"  # for the ordinary run, which breaks a function of each module


@functools.cache
def trainer(way, _number=0):
    function, arguments = (WAYS | {BRIEFLY: (functools.partial(fit, epochs=1), {"run_eagerly": True})})[way]
    return Trainer(function, **arguments)


def other_trainer(way):
    """Returns another of the same."""
    return trainer(way, 1)


@functools.cache
def reached_in(way, log_dir):
    """Returns the code of the functions that run in one way to train and can break, by module and line."""
    trainer(way).train(logger_of(f"{log_dir}/first", way))  # makes and imports what lasts
    found = reached(lambda: trainer(way).train(logger_of(f"{log_dir}/second", way)))
    learn_functions()
    found = [code for code in found if can_break(code) and code not in OF_THE_LOOP.get(way, ())]
    return sorted(found, key=lambda code: (module_of(code), code.co_firstlineno, code.co_name))


# What has to hold.


def complaints(way, code, log_dir, is_permanent=True):
    """Trains in one way while a function raises; returns what went otherwise than it should, in words."""
    one, logger = trainer(way), logger_of(log_dir, way)
    with broken(code, is_permanent=is_permanent) as breakage:
        try:
            said = one.train(logger)
        except Exception as error:
            trainer.cache_clear()
            return [f"the training ended in {type(error).__name__}: {str(error)[-200:]}"]
    found = list(_complaints(one, logger, breakage, [text for text in said if re.match(STOPPED, text)]))
    if found:
        trainer.cache_clear()  # the next one begins with a network that nothing is left on
    return found


def _complaints(one, logger, breakage, said):
    if not is_equal(state(one.model), one.plain):
        yield "weights or the optimizer's variables are others than without a logger"
    if attributes(one.model) != one.plain_attributes:
        yield f"left behind: {sorted(set(attributes(one.model).items()) ^ set(one.plain_attributes.items()))}"
    if len(said) != bool(breakage.num_calls):
        yield f"{len(said)} warnings of {breakage.num_calls} faults: {said}"
    if breakage.num_calls and not is_from(logger.error, breakage):
        yield f"logger.error is {logger.error!r}"


def is_equal(state, other):
    return len(state) == len(other) and all(map(np.array_equal, state, other))


def is_from(error, breakage):
    """Whether an exception is a fault, or comes of one."""
    while error is not None:
        if breakage.message in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
