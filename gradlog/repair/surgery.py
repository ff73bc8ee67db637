"""Surgery: a model with other layers, made anew with fresh weights; the model that is given stays as it is."""

import inspect
from collections.abc import Callable, Sequence

import keras

_PASSING = ("Dropout", "Flatten", "Reshape", "Permute", "Identity", "ActivityRegularization")
ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax")


def can_be_made_anew(model: keras.Model) -> bool:
    """Whether a model is a graph of layers, which can be changed one by one.

    A class with arguments of its own, such as a backbone of keras-hub, can only be made of its configuration.
    """
    return isinstance(model, keras.Sequential) or (hasattr(model, "operations") and _takes_a_graph(type(model)))


def _takes_a_graph(kind):
    """Whether a class of functional models is made of inputs and outputs."""
    parameters = inspect.signature(kind.__init__).parameters
    takes_any = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters.values())
    return takes_any or {"inputs", "outputs"} <= set(parameters)


def _has_inputs(model):
    """Whether a `Sequential` model knows the shape of its input."""
    try:
        return bool(model.inputs)
    except (AttributeError, ValueError):  # it was neither told nor called
        return False


def _is_closed(layer):
    """Whether a layer is a model that can only be made of its configuration."""
    return isinstance(layer, keras.Model) and not can_be_made_anew(layer)


def cloned(layer: keras.Layer, **changed) -> keras.Layer:
    """Returns a layer like another, with fresh weights, and some of its arguments changed."""
    if isinstance(layer, keras.layers.Lambda):  # whose function Keras would not load from a configuration
        return keras.layers.Lambda(layer.function, name=layer.name, mask=layer.mask, arguments=layer.arguments)
    return type(layer).from_config(layer.get_config() | changed)


def rebuilt(
    model: keras.Model,
    edit: Callable[[keras.Layer], Sequence[keras.Layer]] | None = None,
    first: Callable[[keras.KerasTensor], object] | None = None,
    with_skips: Callable[[keras.Layer], bool] | None = None,
) -> keras.Model:
    """Returns a model like another, with fresh weights and other layers; it is not compiled.

    Args:
        model: A Keras model. A subclassed model is made from its configuration.
        edit: Function of a layer that returns the layers in its place, in their order; none leaves it out. Defaults to
            a layer like it. Layers of models inside of the model are edited as well.
        first: Function of an input that returns what the first layers get in its place. Defaults to the input.
        with_skips: Function of a layer that says whether what it gets is added to what it returns. Defaults to never.

    Raises:
        ValueError: Keras cannot make the model, or one of its layers, of its configuration.
    """
    try:
        if not can_be_made_anew(model):
            return type(model).from_config(model.get_config())
        return _Surgeon(edit or (lambda layer: [cloned(layer)]), with_skips).operate(model, first)
    except (TypeError, NotImplementedError, ValueError, AttributeError) as error:
        raise ValueError(
            f"Keras cannot make a model like {model.name!r} anew. Expected a Sequential or functional model, or "
            f"classes with `get_config`. Received: {type(model).__name__} ({error})"
        ) from error


class _Surgeon:
    """Makes a model anew, layer by layer."""

    def __init__(self, edit, with_skips):
        self._edit, self._with_skips = edit, with_skips
        self._chains, self._by_head, self._firsts = {}, {}, {}

    def operate(self, model, first=None):
        """Returns the model anew; of a chain of layers another chain, where no branch is needed."""
        if not isinstance(model, keras.Sequential):
            return self._graph(model, first)
        layers = [one for layer in model.layers for one in self._in_place_of(layer)]
        if not _has_inputs(model):
            return keras.Sequential(layers, name=model.name)
        inputs = _input_like(model.inputs[0])
        if first is None and self._with_skips is None:
            return keras.Sequential([inputs, *layers], name=model.name)
        x = inputs if first is None else first(inputs)
        for layer in model.layers:
            x = self._called(layer, self._in_place_of(layer), x)
        return keras.Model(inputs, x, name=model.name)

    def _graph(self, model, first):
        plain = keras.Model(model.input, model.output, name=model.name)  # which is not compiled
        for layer in plain.layers:
            if _is_closed(layer):
                self._make_closed(layer)
        inputs = keras.tree.map_structure(_input_like, plain.input)
        given = {id(one) for one in keras.tree.flatten(inputs)}

        def made(layer):
            chain = self._in_place_of(layer)
            head = chain[0] if chain else keras.layers.Identity(name=layer.name)
            self._by_head[id(head)] = layer, chain
            return head

        def after_first(tensor):
            if first is None or id(tensor) not in given:
                return tensor
            if id(tensor) not in self._firsts:
                self._firsts[id(tensor)] = first(tensor)
            return self._firsts[id(tensor)]

        def call(head, *args, **kwargs):
            args = keras.tree.map_structure(after_first, args)
            layer, chain = self._by_head[id(head)]
            return self._called(layer, chain, *args, **kwargs)

        anew = keras.models.clone_model(plain, inputs, clone_function=made, call_function=call)
        if type(model) in (type(plain), keras.Model):
            return anew
        return type(model)(anew.input, anew.output, name=model.name)

    def _make_closed(self, model):
        """Makes a model of its configuration; its layers stay shared with those outside, such as tied embeddings."""
        if id(model) in self._chains:
            return
        copy = cloned(model)
        self._chains[id(model)] = [copy]
        if len(model.layers) == len(copy.layers):  # of those that it makes when it is built, none is shared
            for inner, anew in zip(model.layers, copy.layers, strict=True):
                self._chains.setdefault(id(inner), [anew])

    def _in_place_of(self, layer):
        if id(layer) not in self._chains:  # a layer that is shared is made once
            is_inner = isinstance(layer, keras.Model) and can_be_made_anew(layer)
            self._chains[id(layer)] = [self.operate(layer)] if is_inner else list(self._edit(layer))
        return self._chains[id(layer)]

    def _called(self, layer, chain, *args, **kwargs):
        if not chain:
            return args[0]
        x = chain[0](*args, **kwargs)
        for one in chain[1:]:
            x = one(x)
        if self._with_skips is not None and self._with_skips(layer) and args[0].shape == x.shape:
            x = keras.layers.Add(name=f"{layer.name}_skip")([args[0], x])
        return x


def is_chain(model: keras.Model) -> bool:
    """Whether each layer of a model gets what one other returns, and nothing else does."""
    if not can_be_made_anew(model):
        return False
    if isinstance(model, keras.Sequential):
        return all(not isinstance(one, keras.Model) or is_chain(one) for one in model.layers)
    taken = [_tensors(one, "input") for one in model.operations if not isinstance(one, keras.layers.InputLayer)]
    used = [id(one) for each in taken for one in each]
    return all(len(each) == 1 for each in taken) and len(set(used)) == len(used)


def flattened(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers of a model and of the models in it, in their order; of a closed one, none of its own."""
    found = []
    inside = {id(one) for layer in model.layers if _is_closed(layer) for one in layer.layers}
    for layer in model.layers:
        if id(layer) in inside:
            continue
        found += flattened(layer) if isinstance(layer, keras.Model) and can_be_made_anew(layer) else [layer]
    return found


def hidden_layers(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers with a kernel and an activation, such as `Dense`, but those that make an output."""
    outputs = {id(one) for one in output_layers(model)}
    return [one for one in flattened(model) if _is_plain(one) and id(one) not in outputs]


def hidden_activations(model: keras.Model) -> list[keras.Layer]:
    """Returns the hidden layers that are an activation and nothing else."""
    outputs = {id(one) for one in output_layers(model)}
    return [one for one in flattened(model) if type(one).__name__ in ACTIVATIONS and id(one) not in outputs]


def layers_of_one_shape(model: keras.Model) -> list[keras.Layer]:
    """Returns the hidden layers of a graph of layers whose input has the shape of their output."""
    return [one for one in hidden_layers(model) if can_be_made_anew(model) and one.built and _keeps_shape(one)]


def output_layers(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers that make the outputs: each the last one with weights, and what follows it."""
    if isinstance(model, keras.Sequential):
        return _end(flattened(model))
    if not can_be_made_anew(model):
        return []
    makers = {id(one): layer for layer in model.layers for one in _tensors(layer, "output")}
    found = []
    for tensor in keras.tree.flatten(model.output):
        chain: list[keras.Layer] = []
        while (layer := makers.get(id(tensor))) is not None:
            chain[:0] = flattened(layer) if isinstance(layer, keras.Model) and can_be_made_anew(layer) else [layer]
            if type(layer).__name__ not in (*_PASSING, *ACTIVATIONS):
                break
            tensor = next(iter(_tensors(layer, "input")), None)
        found += _end(chain)
    return found


def _end(layers):
    """Returns the last layer with a kernel in a chain, and what follows it."""
    found = []
    for layer in reversed(layers):
        found.append(layer)
        if type(layer).__name__ not in (*_PASSING, *ACTIVATIONS):
            break
    return found[::-1]


def _is_plain(layer):
    """Whether a layer is a kernel and an activation, and not recurrent."""
    has_kernel = hasattr(layer, "kernel_initializer") or hasattr(layer, "depthwise_initializer")
    return has_kernel and hasattr(layer, "activation") and not hasattr(layer, "recurrent_initializer")


def _keeps_shape(layer):
    shapes = [[one.shape for one in _tensors(layer, which)] for which in ("input", "output")]
    return len(shapes[0]) == 1 and shapes[0] == shapes[1]


def _tensors(layer, which):
    """Returns the symbolic inputs or outputs of a layer, where it was called once in a graph of layers."""
    try:
        return keras.tree.flatten(getattr(layer, which))
    except (AttributeError, ValueError):
        return []


def _input_like(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
