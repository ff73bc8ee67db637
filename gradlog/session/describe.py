"""Describe: reads from a Keras model what a training is made of."""

import platform
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

import gradlog
from gradlog.backends.engine import engine
from gradlog.history import names
from gradlog.history.run import Layer, Output, Run, arguments

# Layers that are an activation and nothing else, and layers that hand on what comes in.
_ACTIVATIONS = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu"}
_PASSING = ("Dropout", "Flatten", "Reshape", "Permute", "ActivityRegularization")
_KERNELS = ("kernel", "depthwise_kernel")
_LEFT_OUT = ("name", "seed", "is_legacy_optimizer", "loss_scale_factor")


def described(model: keras.Model, optimizer=None, metrics: Sequence[str] = (), batch_size: int | None = None) -> Run:
    """Returns what a training of a model is made of.

    Args:
        model: A Keras model.
        optimizer: The Keras optimizer that trains it. Defaults to the one it was compiled with.
        metrics: Names of its metrics.
        batch_size: Integer, if it is known.
    """
    optimizer = optimizer or getattr(model, "optimizer", None)
    return Run(
        model=model.name,
        layers=layers(model),
        outputs=outputs(model, getattr(model, "loss", None)),
        optimizer=_optimizer(optimizer) if optimizer is not None else {},
        metrics=tuple(metrics),
        batch_size=batch_size,
        precision=_precision(model),
        engine=keras.backend.backend(),
        steps_per_execution=int(getattr(model, "steps_per_execution", 1) or 1),
        jit_compile=bool(getattr(model, "jit_compile", False)),
        versions={"gradlog": gradlog.__version__, **_versions()},
    )


def outputs(model: keras.Model, loss: Any) -> tuple[Output, ...]:
    """Returns the outputs of a model, each with its loss."""
    makers = _output_layers(model)
    losses = by_output(model, loss, len(makers))
    return tuple(_output(number, *pair) for number, pair in enumerate(zip(makers, losses, strict=True), 1))


def by_output(model: keras.Model, values: Any, number: int) -> list:
    """Returns a value for each of so many outputs, of one value, a list, or a dictionary by the outputs' names."""
    if values is None:
        return [None] * number
    if isinstance(values, dict):
        names_of_outputs = list(getattr(model, "output_names", values))
        return [values.get(name) for name in names_of_outputs][:number]
    if isinstance(values, (list, tuple)) and number > 1:
        return [*values, *[None] * number][:number]
    if isinstance(values, (list, tuple)) and len(values) == 1:
        return list(values)
    return [values] * number if not hasattr(values, "shape") else [values, *[None] * (number - 1)]


# Layers.


def layers(model: keras.Model) -> tuple[Layer, ...]:
    """Returns the layers of a model, but those that only name its inputs."""
    found = [one for one in model._flatten_layers(include_self=False) if not isinstance(one, keras.Model)]
    found = [one for one in found if not isinstance(one, keras.layers.InputLayer)]
    tags = names.layer_names([one.path or one.name for one in found], model.name)
    makers = {id(tensor): tag for tag, one in zip(tags, found, strict=True) for tensor in _tensors(one, "output")}
    return tuple(_layer(tag, one, makers) for tag, one in zip(tags, found, strict=True))


def _layer(tag, layer, makers):
    kernel = next((getattr(layer, name) for name in _KERNELS if getattr(layer, name, None) is not None), None)
    regularized = [name for name in vars(layer) if name.endswith("_regularizer") and getattr(layer, name) is not None]
    inputs = [makers[id(tensor)] for tensor in _tensors(layer, "input") if id(tensor) in makers]
    return Layer(
        name=tag,
        kind=type(layer).__name__,
        units=_integer(getattr(layer, "units", None) or getattr(layer, "filters", None)),
        activation=_activation(layer),
        kernel=tuple(int(size) for size in getattr(kernel, "shape", ())),
        initializer=_settings(_initializer(layer)),
        regularizers={name.removesuffix("_regularizer"): _settings(getattr(layer, name)) for name in regularized},
        inputs=tuple(inputs),
    )


def _tensors(layer, which):
    """Returns the symbolic inputs or outputs of a layer, where it was called once in a graph of layers."""
    try:
        return keras.tree.flatten(getattr(layer, which))
    except (AttributeError, ValueError):  # it was not called symbolically, or more than once
        return []


def _initializer(layer):
    for name in ("kernel_initializer", "depthwise_initializer", "embeddings_initializer"):
        if getattr(layer, name, None) is not None:
            return getattr(layer, name)
    return None


def _integer(number):
    return int(number) if isinstance(number, int) else None


def _activation(layer):
    """Returns Keras' name of a layer's activation."""
    if type(layer).__name__ in _ACTIVATIONS:
        return _ACTIVATIONS[type(layer).__name__]
    return _name(getattr(layer, "activation", None)) if layer is not None else None


def _name(one):
    name = getattr(one, "name", None) or getattr(one, "__name__", None)
    return name if isinstance(name, str) else str(one) if isinstance(one, str) else None


def _settings(one):
    """Returns the class and the arguments of an initializer, a regularizer or a schedule."""
    if one is None:
        return {}
    return {"class": getattr(one, "__name__", type(one).__name__), **_plain(_config(one))}


def _config(one):
    """Returns the configuration of an object, or an empty dictionary: a custom class may not implement `get_config`."""
    try:
        return dict(one.get_config())
    except Exception:
        return {}


def _plain(config):
    """Returns those of a configuration's arguments that are numbers or strings, and say something."""
    said = {name: value for name, value in config.items() if name not in _LEFT_OUT}
    return {name: value for name, value in said.items() if isinstance(value, (str, int, float))}


# Outputs.


def _output(number, layer, loss):
    name, from_logits = _loss(loss)
    return Output(
        name=f"output {number}" if layer is None else layer.name,
        units=_units(layer),
        activation=_activation(layer),
        loss=name,
        from_logits=from_logits,
    )


def _output_layers(model):
    """Returns the layer that makes each output; `None` where it is not known."""
    if isinstance(model, keras.Sequential):
        last = [layer for layer in model.layers if type(layer).__name__ not in _PASSING][-1:] or [None]
        return _output_layers(last[0]) if isinstance(last[0], keras.Model) else last
    if not getattr(model, "outputs", None):
        return [None]
    made = {id(one): layer for layer in model.layers for one in _tensors(layer, "output")}
    found = [made.get(id(one)) for one in model.outputs]
    return [_output_layers(one)[0] if isinstance(one, keras.Model) else one for one in found]


def _units(layer):
    """Returns the size of a layer's last axis."""
    shape = getattr(getattr(layer, "output", None), "shape", None) if layer is not None and layer.built else None
    return _integer(getattr(layer, "units", None) if shape is None else shape[-1] if len(shape) > 1 else 1)


def _loss(loss):
    """Returns Keras' name of a loss, and whether it expects logits; `None` of several losses that are nested."""
    if loss is None or isinstance(loss, (list, tuple, dict)):
        return None, False
    found = keras.losses.get(loss)
    if isinstance(found, keras.losses.Loss):
        return _snake(type(found).__name__), bool(_config(found).get("from_logits", False))
    return getattr(found, "__name__", None), False


def _snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


# The optimizer.


def _optimizer(optimizer):
    """Returns the class and the arguments of an optimizer, the rate as it is now, without what is switched off."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    settings = {name: value for name, value in _config(inner).items() if value not in (None, False, "")}
    schedule = settings.pop("learning_rate", None)
    found = {"class": type(inner).__name__, "learning_rate": float(keras.ops.convert_to_numpy(inner.learning_rate))}
    if isinstance(schedule, dict):  # as Keras serializes a schedule
        config = schedule.get("config")
        plain = _plain(config) if isinstance(config, dict) else {}  # that of a function is its name
        found["schedule"] = arguments({"class": schedule.get("class_name"), **plain})
    if inner is not optimizer:
        found["loss_scale"] = "dynamic"
    if not settings.get("use_ema"):
        settings.pop("ema_momentum", None)
    return found | _plain(settings)


def _precision(model):
    """Returns the dtype policies of the layers with weights, the commonest first; the model's own if there are none.

    A model's own policy is not theirs where a part was made with another, such as a backbone in mixed_float16.
    """
    found = [one for one in model._flatten_layers(include_self=False) if not isinstance(one, keras.Model)]
    policies = [one.dtype_policy.name for one in found if one._trainable_variables or one._non_trainable_variables]
    return ", ".join(name for name, _ in Counter(policies).most_common()) or model.dtype_policy.name


def _versions():
    return {**engine().version(), "keras": keras.__version__, "python": platform.python_version()}
