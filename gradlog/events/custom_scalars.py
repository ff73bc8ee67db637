"""The layout of TensorBoard's tab Custom Scalars: charts with all layers of a run."""

from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from gradlog.history import names

TAG = metadata.CONFIG_SUMMARY_TAG
TITLE = "gradlog"
_KERNEL, _OTHER = r".*kernel$", r"(?!.*kernel$)"
# Charts: a title, and the regular expressions of the tags in it, each matched from a tag's beginning.
CHARTS = {
    "mean |gradient| of every kernel": [rf"{names.MEAN_ABS}/{_KERNEL}"],
    "mean |gradient| of biases and others": [rf"{names.MEAN_ABS}/{_OTHER}"],
    "update ratio of every kernel": [rf"{names.UPDATE_RATIO}/{_KERNEL}"],
    "global gradient norm, also after clipping": [rf"{names.NORM}/{names.GLOBAL}"],
}


def layout() -> bytes:
    """Returns a serialized `Layout` with a chart an entry of `CHARTS`; the same for every run, so that they merge.

    The tab draws a line a chosen run and tag, so with one run chosen a chart holds all layers of this run.

    Example:
    >>> layout_pb2.Layout.FromString(layout()).category[0].chart[0].title
    'mean |gradient| of every kernel'
    """
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))
        for title, tags in CHARTS.items()
    ]
    return layout_pb2.Layout(category=[layout_pb2.Category(title=TITLE, chart=charts)]).SerializeToString()
