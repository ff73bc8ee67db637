"""Run: what a training was made of, as its event file keeps it."""

import dataclasses
import json
import typing
from dataclasses import dataclass

from gradlog.history.markdown import escaped

_INDENT = "    "  # which Markdown shows as it stands
_FACTS = ("what", "value")
_COLUMNS = ("layer", "class", "units", "activation", "initializer", "regularizers", "inputs")


@dataclass(frozen=True)
class Layer:
    """One layer of the model.

    Attributes:
        name: String, as tags have it: `"layer1"` for the variable `layer1/kernel`.
        kind: String, its class: `"Dense"`.
        units: Integer, its units or filters; `None` where it has none.
        activation: String, Keras' name of its activation; `None` if it has none, or it is not known.
        kernel: Tuple of integers, the shape of its kernel; empty where it has none.
        initializer: Dictionary, the class and the arguments of the kernel's initializer; empty where it has none.
        regularizers: Dictionary of variables, or `"activity"`, to the class and the arguments of a regularizer.
        inputs: Names of the layers whose outputs it takes; empty where that is not known.
    """

    name: str
    kind: str
    units: int | None = None
    activation: str | None = None
    kernel: tuple[int, ...] = ()
    initializer: dict = dataclasses.field(default_factory=dict)
    regularizers: dict = dataclasses.field(default_factory=dict)
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """One output of the model, and its loss.

    Attributes:
        name: String, the name of the layer, as tags have it.
        units: Integer, the size of its last axis, or `None` if it is not known.
        activation: String, Keras' name of its activation, such as `"softmax"`; `None` if it is not known.
        loss: String, Keras' name of the loss, such as `"mean_squared_error"`; `None` if there is none.
        from_logits: Boolean, whether the loss expects logits.
        majority: Number, the share of the most frequent class among the first targets; `None` if it is not known, or
            they are not classes.
    """

    name: str
    units: int | None = None
    activation: str | None = None
    loss: str | None = None
    from_logits: bool = False
    majority: float | None = None


@dataclass(frozen=True)
class Run:
    """What a training was made of.

    Attributes:
        model: String, the name of the model.
        layers: The `Layer`s, in the order in which Keras lists them.
        outputs: The `Output`s.
        optimizer: Dictionary: the optimizer's `class`, its `learning_rate` at the beginning, and its other arguments.
        metrics: Names of the metrics.
        batch_size: Integer, the rows of the first logged batch, over all replicas; `None` if it is not known.
        precision: String, the dtype policies of the layers with weights, the commonest first: `"float32"`,
            `"mixed_float16, float32"`.
        engine: String, Keras' backend.
        steps_per_execution: Integer.
        jit_compile: Boolean, whether XLA compiles the step.
        versions: Dictionary of packages to their versions.
        mistakes: Dictionaries, the findings of what is wrong with the set-up.

    Example:
    >>> run = Run("net", layers=(Layer("layer1", "Dense", 10, "sigmoid"),), optimizer={"class": "SGD"})
    >>> Run.from_json(run.to_json()) == run
    True
    """

    model: str
    layers: tuple[Layer, ...] = ()
    outputs: tuple[Output, ...] = ()
    optimizer: dict = dataclasses.field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    batch_size: int | None = None
    precision: str = "float32"
    engine: str = "tensorflow"
    steps_per_execution: int = 1
    jit_compile: bool = False
    versions: dict = dataclasses.field(default_factory=dict)
    mistakes: tuple[dict, ...] = ()

    def layer(self, name: str) -> Layer | None:
        """Returns the layer of a variable or of a layer, by its name; `None` if it is not known."""
        found = [one for one in self.layers if name == one.name or name.startswith(f"{one.name}/")]
        return max(found, key=lambda one: len(one.name), default=None)

    def to_json(self) -> str:
        """Returns the run as JSON, indented so that the Text tab shows it as it stands."""
        text = json.dumps(dataclasses.asdict(self), indent=2, default=str)
        return "\n".join(_INDENT + line for line in text.splitlines())

    @classmethod
    def from_json(cls, text: str) -> "Run":
        """Returns the run that JSON describes; what a later version adds to it is left out.

        Raises:
            ValueError: The text does not describe a run.
        """
        try:
            values = json.loads(text)
            parts = {"layers": _all(Layer, values["layers"]), "outputs": _all(Output, values["outputs"])}
            return _made(cls, values | parts)
        except (TypeError, KeyError, AttributeError, RecursionError, ValueError) as error:
            raise ValueError(f"Expected the JSON of a run. Received: {text[:80]!r} ({error})") from error

    def markdown(self) -> str:
        """Returns the run as a Markdown table of facts, and one of layers, for the Text tab."""
        facts = {
            "model": self.model,
            "optimizer": arguments(self.optimizer),
            "loss": "; ".join(f"{_loss(one)} of {one.name}" for one in self.outputs if one.loss),
            "metrics": ", ".join(self.metrics),
            "batch size": "" if self.batch_size is None else f"{self.batch_size:,}",
            "precision": self.precision,
            "engine": f"{self.engine}{', compiled by XLA' if self.jit_compile else ''}",
            "steps per execution": str(self.steps_per_execution),
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        }
        rows = [(what, value) for what, value in facts.items() if value]
        layers = [_cells(one) for one in self.layers]
        return f"{_table(_FACTS, rows)}\n\n{_table(_COLUMNS, layers)}"


def arguments(settings: dict) -> str:
    """Returns a class with its arguments as one writes it.

    Example:
    >>> arguments({"class": "SGD", "learning_rate": 0.1})
    'SGD(learning_rate=0.1)'
    """
    inside = ", ".join(f"{name}={_short(value)}" for name, value in settings.items() if name != "class")
    return f"{settings['class']}({inside})" if "class" in settings else ""


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cells(layer):
    regularizers = "; ".join(f"{name}: {arguments(one)}" for name, one in layer.regularizers.items())
    units = "" if layer.units is None else str(layer.units)
    return (
        layer.name,
        layer.kind,
        units,
        layer.activation or "",
        arguments(layer.initializer),
        regularizers,
        ", ".join(layer.inputs),
    )


def _loss(output):
    return f"{output.loss}(from_logits=True)" if output.from_logits else output.loss


def _table(heads, rows):
    """Returns a Markdown table."""
    return "\n".join([_row(heads), _row(["---"] * len(heads)), *(_row(map(_cell, row)) for row in rows)])


def _row(cells):
    return f"| {' | '.join(cells)} |"


def _cell(text):
    return escaped(" ".join(text.split()))


def _all(kind, entries):
    return tuple(_made(kind, entry) for entry in entries)


def _made(kind, values):
    """Returns a dataclass of those of the values that it has; lists become tuples."""
    fields = {one.name: one.type for one in dataclasses.fields(kind)}
    known = {name: _tuple(value) for name, value in values.items() if name in fields}
    for name, value in known.items():
        expected = tuple if typing.get_origin(fields[name]) is tuple else fields[name]
        elements = value if expected is tuple else ()
        if not isinstance(value, expected) or not all(isinstance(one, _element(fields[name])) for one in elements):
            raise TypeError(f"{name} is {value!r}")
    return kind(**known)


def _element(kind):
    """Returns the type of the elements of `tuple[type, ...]`."""
    return typing.get_args(kind)[0]


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value
