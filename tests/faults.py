"""Faults: which functions of gradlog run while a model trains, and what happens where one of them raises.

A `Trainer` trains a small network in one of several ways. `reached` trains so once and returns the code of all
functions of gradlog that ran meanwhile, in any thread. `broken` is a context in which one of them raises: the code
is exchanged in every function that has it, or within the function around it, so that closures, generators and
properties, and what TensorFlow calls as it traces, are broken alike.
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
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import gradlog
from gradlog.writers import MemoryWriter

ROOT = Path(gradlog.__file__).parent
STOPPED = "gradlog stopped"  # how the one warning of a failure of the logger's own begins
NUM_EPOCHS, NUM_BATCHES, BATCH_SIZE = 2, 6, 8
NUM_STEPS = NUM_EPOCHS * NUM_BATCHES

# What a training may end of: it is no part of the logger, or refuses what the user asked for before it begins.
USERS_OWN = re.compile(r"/(loop|checks)\.py$")
# The guard itself is what catches; where it raises at its very beginning, nothing can.
GUARD = re.compile(r"/guard\.py$")


class Fault(RuntimeError):
    """What a broken function raises."""


# Which functions run.


def reached(train):
    """Returns the code of every function of gradlog that runs in `train`, by module and line."""
    found = set()

    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/"):
            found.add(frame.f_code)

    earlier = sys.getprofile(), threading.getprofile()
    sys.setprofile(profile)
    threading.setprofile(profile)
    try:
        train()
    finally:
        sys.setprofile(earlier[0])
        threading.setprofile(earlier[1])
    return sorted(filter(is_function, found), key=lambda code: (code.co_filename, code.co_firstlineno, code.co_name))


def is_function(code):
    """Whether code is a function's, not a module's or a class body's."""
    return bool(code.co_flags & inspect.CO_NEWLOCALS and code.co_flags & inspect.CO_OPTIMIZED)


def can_break(code):
    """Whether a training has to survive it where this function raises."""
    return not (USERS_OWN.search(code.co_filename) or GUARD.search(code.co_filename) or code in entries())


def entries():
    """What Keras and the user call of the logger directly: before it begins, nothing of gradlog can catch."""
    found = set()
    for name, member in vars(gradlog.GradientLogger).items():
        function = getattr(member, "fget", member)
        if not name.startswith("_") and isinstance(function, types.FunctionType):
            found.add(function.__code__)
    return found


def module_of(code):
    return Path(code.co_filename).relative_to(ROOT).as_posix()


def name_of(code):
    return f"{module_of(code)}:{code.co_firstlineno} {getattr(code, 'co_qualname', code.co_name)}"


# One that raises.


class Breakage:
    """How often a broken function was called; raises each time, or the first time alone."""

    def __init__(self, code, is_permanent=True):
        self.num_calls, self.message = 0, f"of gradlog's own, in {name_of(code)}"
        self._is_permanent, self._mended = is_permanent, contextlib.ExitStack()

    def __call__(self):
        self.num_calls += 1
        if not self._is_permanent:
            self._mended.close()
        raise Fault(self.message)


@contextlib.contextmanager
def broken(code, is_permanent=True):
    """Has every function with this code raise, as a context of a `Breakage`; afterwards all is as it was."""
    breakage = Breakage(code, is_permanent)
    other = raising(code, breakage)
    with breakage._mended:
        for function in functions():
            replaced = exchanged(function.__code__, code, other)
            if replaced is not function.__code__:
                breakage._mended.callback(setattr, function, "__code__", function.__code__)
                function.__code__ = replaced
        yield breakage


def functions():
    """Returns every function of gradlog that there is, closures too."""
    return [one for one in gc.get_objects() if type(one) is types.FunctionType and is_of_gradlog(one.__code__)]


def is_of_gradlog(code):
    return code.co_filename.startswith(f"{ROOT}/")


def exchanged(code, old, new):
    """Returns code with other code in the place of `old`, be it all or a function inside; itself if it has none."""
    if code is old:
        return new
    constants = tuple(exchanged(one, old, new) if inspect.iscode(one) else one for one in code.co_consts)
    if all(one is other for one, other in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=constants)


def raising(code, breakage):
    """Returns code that takes the same arguments, and calls `breakage` instead of doing anything."""
    free = "".join(f"    {name} = None\n" for name in code.co_freevars)
    kept = "".join(f"        {name}\n" for name in code.co_freevars)
    end = "yield" if code.co_flags & inspect.CO_GENERATOR else "return"
    source = f"def around():\n{free}    def inner({signature(code)}):\n        fail = 'FAIL'\n        fail()\n{kept}        {end}\n"
    around = next(one for one in compile(source, code.co_filename, "exec").co_consts if inspect.iscode(one))
    inner = next(one for one in around.co_consts if inspect.iscode(one))
    assert inner.co_freevars == code.co_freevars
    names = {name: getattr(code, name) for name in ("co_name", "co_qualname", "co_firstlineno") if hasattr(code, name)}
    constants = tuple(breakage if one == "FAIL" else one for one in inner.co_consts)
    return inner.replace(co_consts=constants, **names)


def signature(code):
    """Returns the parameters of code, as they are written; defaults stay with the function."""
    names = [name.replace(".", "_") for name in code.co_varnames]
    first, keywords = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    parameters = names[:first]
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    has_more = bool(code.co_flags & inspect.CO_VARARGS)
    if has_more:
        parameters.append(f"*{names[keywords]}")
    elif code.co_kwonlyargcount:
        parameters.append("*")
    parameters += names[first:keywords]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parameters.append(f"**{names[keywords + has_more]}")
    return ", ".join(parameters)


# What trains.


def network(**arguments):
    """Two layers whose first is nearly dead, so that there is something to find."""
    keras.utils.set_random_seed(0)
    dead = keras.initializers.Constant([-100.0] * 15 + [0.0])
    layers = [
        keras.layers.Dense(16, "relu", bias_initializer=dead, name="layer1"),
        keras.layers.Dense(3, name="layer2"),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(global_clipnorm=1.0), loss, metrics=["accuracy"], **arguments)
    model.optimizer.build(model.trainable_variables)
    return model


@functools.cache
def data():
    """Inputs [48, 4] and labels [48]."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_BATCHES * BATCH_SIZE, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 1)


def dataset():
    return tf.data.Dataset.from_tensor_slices(data()).batch(BATCH_SIZE).repeat()


def state(model):
    """Everything that training changes: weights, the optimizer's variables with its step, metrics."""
    return [np.array(one) for one in (*model.weights, *model.optimizer.variables, *model.metrics_variables)]


def attributes(model):
    """What stands on the model, its layers and its optimizer, by name: whatever has an identity, with its kind."""
    parts = {"model": model, "optimizer": model.optimizer} | {layer.name: layer for layer in model.layers}
    return {f"{part}.{name}": _kind(value) for part, owner in parts.items() for name, value in vars(owner).items()}


def _kind(value):
    return f"{type(value).__module__}.{type(value).__qualname__} {getattr(value, '__module__', '')}"


class Trainer:
    """Trains one network again and again, from the same weights, in one way.

    Args:
        way: A function of a model and a logger or `None`, that trains the model.
        **arguments: For `compile`.
    """

    def __init__(self, way, **arguments):
        self._way, self._arguments = way, arguments
        self.renew()

    def renew(self):
        """Begins with another network, of the same weights, and trains it once without a logger."""
        self.model = network(**self._arguments)
        self._start = [(one, np.array(one)) for one in (*self.model.weights, *self.model.optimizer.variables)]
        self._way(self.model, None)
        self.plain, self.plain_attributes = state(self.model), attributes(self.model)

    def train(self, logger):
        """Trains from the start; returns the warnings."""
        self.restart()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._way(self.model, logger)
        return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]

    def restart(self):
        """Gives the network the weights it began with."""
        keras.utils.set_random_seed(1)
        for variable, value in self._start:
            variable.assign(value)


def logger_of(log_dir, way):
    """Returns a logger that uses whatever a logger can use in this way to train."""
    activations = None if way.startswith("attach") else data()[0][:8]
    return gradlog.GradientLogger(log_dir, every=2, activations=activations, writers=[MemoryWriter()])


def fit(model, logger):
    callbacks = [logger] if logger else []
    arguments = {"epochs": NUM_EPOCHS, "batch_size": BATCH_SIZE, "shuffle": False, "verbose": 0}
    model.fit(*data(), **arguments, validation_data=data(), validation_batch_size=48, callbacks=callbacks)


def train(model, logger):
    gradlog.train(model, dataset(), steps=NUM_STEPS, steps_per_execution=4, callbacks=[logger] if logger else [])


def attach(compiled, model, logger):
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    step = compiled(step)
    with logger.attach(model, model.optimizer) if logger else contextlib.nullcontext():
        for x, y in dataset().take(NUM_STEPS):
            step(x, y)


WAYS = {
    "fit": (fit, {}),
    "fit eagerly": (fit, {"run_eagerly": True}),
    "fit, many steps a call": (fit, {"steps_per_execution": 3}),
    "train": (train, {}),
    "attach eagerly": (functools.partial(attach, lambda step: step), {}),
    "attach compiled": (functools.partial(attach, tf.function), {}),
}


@functools.cache
def trainer(way):
    function, arguments = WAYS[way]
    return Trainer(function, **arguments)


@functools.cache
def reached_in(way, log_dir):
    """Returns the code of the functions that run in one way to train, and can break."""
    logger = logger_of(log_dir, way)
    trainer(way).train(logger_of(log_dir, way))  # what is loaded and made once, is
    return [code for code in reached(lambda: trainer(way).train(logger)) if can_break(code)]


# What has to hold.


def complaints(way, code, log_dir, is_permanent=True):
    """Trains in one way while a function raises; returns what went otherwise than it should, in words."""
    one, logger = trainer(way), logger_of(log_dir, way)
    with broken(code, is_permanent) as breakage:
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
    state_now, attributes_now = state(one.model), attributes(one.model)
    if not all(map(np.array_equal, one.plain, state_now)):
        yield "the weights, or the optimizer's variables, are others than without a logger"
    if attributes_now != one.plain_attributes:
        yield f"left behind: {sorted(set(attributes_now.items()) ^ set(one.plain_attributes.items()))}"
    if len(said) != bool(breakage.num_calls):
        yield f"{len(said)} warnings of {breakage.num_calls} faults: {said}"
    if breakage.num_calls and not is_from(logger.error, breakage):
        yield f"logger.error is {logger.error!r}"


def is_from(error, breakage):
    """Whether an exception is a fault, or comes of one."""
    while error is not None:
        if breakage.message in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
