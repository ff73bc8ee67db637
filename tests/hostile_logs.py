"""Runs that no gradlog wrote: what a log directory can hold that would harm whoever believes it."""

import json

import event_files
import numpy as np
from small_logs import write_run
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

MARKUP = "<img src=x onerror=alert(1)>"
ONE = {"version": 1, "variables": ["a/kernel"], "statistics": ["gradient_mean_abs"]}
DEEP = b"[" * 100_000
MANY = 1_000_000  # variables


def tensor(content=None, shape=(1, 1), dtype=types_pb2.DT_FLOAT):
    """Returns a tensor of bytes; of one float by default."""
    content = np.float32(0.5).tobytes() if content is None else content
    result = tensor_pb2.TensorProto(dtype=dtype, tensor_content=content)
    for size in shape:
        result.tensor_shape.dim.add(size=size)
    return result


def value(described=None, content=None, tag="gradlog/statistics", plugin="gradlog"):
    """Returns a summary: a tensor, and metadata that say what it is."""
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = plugin
    metadata.plugin_data.content = described if isinstance(described, bytes) else json.dumps(described or ONE).encode()
    return summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor() if content is None else content)


def tensor_of_one(shape):
    """Returns a tensor that says it is one number again and again."""
    result = tensor(b"", shape)
    result.float_val.append(0.5)
    return result


def strings(*texts):
    """Returns a tensor [n, 1] of texts."""
    result = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[text.encode() for text in texts])
    for size in (len(texts), 1):
        result.tensor_shape.dim.add(size=size)
    return result


# Runs of one table each, with what is said of them.
TABLES = {
    "cut off": (value(content=tensor(b"123")), "cannot be read"),
    "larger than it is": (value(content=tensor(shape=(1 << 20, 1 << 20))), "cannot be read"),
    "text": (value(content=strings("one")), ""),
    "of another shape": (value(content=tensor(np.zeros(6, np.float32).tobytes(), (3, 2))), ""),
    "a newer version": (value({**ONE, "version": 99}), "format 99"),
    "no names": (value({"version": 1}), "does not name its variables"),
    "no JSON": (value(b"\xff\xfe"), "does not name its variables"),
    "nothing": (value(b""), "does not name its variables"),
    "deep": (value(DEEP), "does not name its variables"),
    "a list": (value(b"[]"), "does not name its variables"),
    "half a character": (value({**ONE, "variables": ["\ud800/kernel"]}), ""),
    "one number for all": (value(content=tensor_of_one((1 << 20, 1 << 20))), "cannot be read"),
    "one name twice": (value({**ONE, "variables": ["a", "a"]}), "not different strings"),
    "names that are numbers": (value({**ONE, "variables": [1]}), "not different strings"),
    "a million": (
        value({**ONE, "variables": [f"layer{number}/kernel" for number in range(MANY)]}),
        "more than 50,000 variables",
    ),
}
# Names that mean something to a browser.
NAMES = [f"{MARKUP}/kernel", "__proto__/kernel", "constructor/kernel", "javascript:alert(1)/kernel", "n" * 5000]


def write(log_dir):
    """Writes a run an entry of `TABLES`, and `MARKUP`, whose variables are `NAMES` and whose gradients vanish."""
    for run, (table, _) in TABLES.items():
        event_files.write(log_dir / run / "events.out.tfevents.1.name", event_files.event(3, table))
    others = [value(tag="gradlog/other"), value(plugin="another"), value(tag="other", plugin="another")]
    event_files.write(log_dir / "of others" / "events.out.tfevents.1.name", event_files.event(3, *others))
    gradients = np.tile(10.0 ** np.arange(-2 * len(NAMES), 0, 2), (12, 1))
    write_run(log_dir / MARKUP, gradients, range(0, 120, 10), variables=NAMES)
    histogram = value(tag=f"gradient/{NAMES[1]}", plugin="histograms", described=b"", content=tensor(b"1234" * 2, (2,)))
    event_files.write(log_dir / MARKUP / "events.out.tfevents.2.name", event_files.event(0, histogram))
    never = event_files.event(3, value())
    event_files.write(log_dir / "never" / "events.out.tfevents.1.name", with_wall_time(never, float("nan")))


def with_wall_time(event, wall_time):
    """Returns the bytes of an event at another time."""
    result = event_pb2.Event.FromString(event)
    result.wall_time = wall_time
    return result.SerializeToString()
