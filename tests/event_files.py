"""Event files put together by hand, with TensorBoard's own checksum, as other programs write them."""

import json
import struct

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.util import tensor_util


def record(content):
    """Returns the bytes of a record."""
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc32c(length)) + content + struct.pack("<I", masked_crc32c(content))


def event(step, *values):
    """Returns the bytes of an `Event` with these values."""
    summary = summary_pb2.Summary(value=values)
    return event_pb2.Event(step=step, wall_time=1.5, summary=summary).SerializeToString()


def number(tag, value):
    """Returns a scalar in the old form, as PyTorch writes it."""
    return summary_pb2.Summary.Value(tag=tag, simple_value=value)


def histogram(tag, smallest, largest, limits, counts):
    """Returns a histogram in the old form, as PyTorch writes it."""
    histo = summary_pb2.HistogramProto(min=smallest, max=largest, bucket_limit=limits, bucket=counts)
    return summary_pb2.Summary.Value(tag=tag, histo=histo)


def attention(layers, values, version=1):
    """Returns the attention of heads [A, H, 3] of named layers."""
    metadata = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = "gradlog"
    names = {"version": version, "layers": layers, "values": ["entropy", "logit", "sink"]}
    metadata.plugin_data.content = json.dumps(names).encode()
    tensor = tensor_util.make_tensor_proto(values.astype("float32"))
    return summary_pb2.Summary.Value(tag="gradlog/attention", metadata=metadata, tensor=tensor)


def write(path, *events):
    """Writes events, given as bytes, into a file; returns where each record begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    starts, content = [], b""
    for one in (event_pb2.Event(file_version="brain.Event:2").SerializeToString(), *events):
        starts.append(len(content))
        content += record(one)
    path.write_bytes(content)
    return starts
