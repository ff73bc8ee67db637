"""Plugin: the tab's routes, and how TensorBoard loads it. `http_api.md` documents the routes."""

import argparse
import functools
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from gradlog.diagnosis.pages import codes, page
from gradlog.history import names
from gradlog.tensorboard import attention, data, metadata, variables
from gradlog.tensorboard.runs import Runs

_STATIC = Path(__file__).parent / "static"
_SERVED = (".js", ".css")
_MAX_STEPS, _DEFAULT_STEPS = 2000, 400


class GradientsLoader(base_plugin.TBLoader):
    """Loads the tab, and makes TensorBoard keep as many tables per run as it keeps scalars."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Sets the number of samples, unless the user gives one for `gradlog` in `--samples_per_plugin`."""
        samples = dict(getattr(flags, "samples_per_plugin", None) or {})
        flags.samples_per_plugin = {metadata.PLUGIN_NAME: metadata.SAMPLES, **samples}

    def load(self, context: base_plugin.TBContext) -> "GradientsPlugin | None":
        """Returns the plugin, or `None` if this TensorBoard has no data provider."""
        return GradientsPlugin(context) if context.data_provider else None


class GradientsPlugin(base_plugin.TBPlugin):
    """Serves the static page and the data of the runs.

    Args:
        context: TensorBoard's `TBContext`.
    """

    plugin_name = metadata.PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext):
        self._runs = Runs(context.data_provider)

    def get_plugin_apps(self) -> dict[str, Callable]:
        """Returns the routes. Files are served by name only: no part of a request is used as a path."""
        files = [path for path in sorted(_STATIC.rglob("*")) if path.suffix in _SERVED]
        routes = {
            "runs": self._list,
            "table": self._table,
            "attention": self._attention,
            "histograms": self._histograms,
            "findings": self._findings,
        }
        return {
            **{f"/{path.relative_to(_STATIC).as_posix()}": _served(path) for path in files},
            **{f"/data/{name}": _answered(function) for name, function in routes.items()},
            "/rule": _rule,
        }

    def is_active(self) -> bool:
        """Returns `False`: TensorBoard shows the tab anyway once a run has summaries of the plugin's name."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Returns the tab's name and the module that draws it."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name=metadata.TAB_NAME)

    def _list(self, ctx, experiment, arguments):
        return {
            "statistics": metadata.STATISTICS,
            "parts": metadata.PARTS,
            "histograms": metadata.HISTOGRAMS,
            "attention": metadata.ATTENTION,
            "runs": self._runs.list(ctx, experiment),
        }

    def _table(self, ctx, experiment, arguments):
        run, statistic = _required(arguments, "run"), _required(arguments, "statistic")
        history = self._runs.history(ctx, experiment, run, with_scalars=statistic in names.LAYER_SCALARS)
        return data.table(history, statistic, _steps(arguments))

    def _attention(self, ctx, experiment, arguments):
        run, value = _required(arguments, "run"), _required(arguments, "value")
        attention.check(value)
        history = self._runs.history(ctx, experiment, run, with_scalars=False)
        content, tensors = self._runs.attention(ctx, experiment, run)
        return attention.table(content, tensors, history.variables, value, _steps(arguments))

    def _histograms(self, ctx, experiment, arguments):
        run, kind = _required(arguments, "run"), _required(arguments, "kind")
        if kind not in metadata.HISTOGRAMS:
            known = ", ".join(metadata.HISTOGRAMS)
            raise errors.InvalidArgumentError(
                f"Unknown kind of histogram. Expected one of {known}. Received: kind={kind!r}"
            )
        history = self._runs.history(ctx, experiment, run, with_scalars=False)
        tag = names.tag(kind, variables.with_histogram(history.variables, kind, _required(arguments, "variable")))
        return data.histograms(self._runs.histograms(ctx, experiment, run, tag), _steps(arguments))

    def _findings(self, ctx, experiment, arguments):
        return {"findings": data.findings(self._runs.history(ctx, experiment, _required(arguments, "run")))}


@wrappers.Request.application
def _rule(request):
    """Answers with the page of a rule, as Markdown."""
    code = request.args.get("code", "")
    if code not in codes():
        return http_util.Respond(request, f"Unknown rule: {code!r}", "text/plain", code=404)
    return http_util.Respond(request, page(code).markdown(), "text/plain")


def _required(arguments, name):
    if name not in arguments:
        raise errors.InvalidArgumentError(f"Missing parameter: {name!r}. Received: {', '.join(arguments) or 'none'}")
    return arguments[name]


def _steps(arguments):
    text = arguments.get("max_steps", str(_DEFAULT_STEPS))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MAX_STEPS):
        raise errors.InvalidArgumentError(
            f"Expected max_steps to be an integer from 1 to {_MAX_STEPS}. Received: {text!r}"
        )
    return int(text)


def _answered(function):
    """Returns a WSGI application that answers with the result of a function of context, experiment and arguments."""

    @wrappers.Request.application
    @functools.wraps(function)
    def application(request):
        ctx, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        try:
            content, code = function(ctx, experiment, request.args), 200
        except errors.PublicError as error:
            content, code = {"error": str(error)}, error.http_code
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        return http_util.Respond(request, text, "application/json", code=code)

    return application


def _served(path):
    content_type = "text/javascript" if path.suffix == ".js" else mimetypes.types_map.get(path.suffix, "text/plain")

    @wrappers.Request.application
    def application(request):
        return http_util.Respond(request, path.read_bytes(), content_type)

    return application
