"""Announcer: reports the findings of a training in progress, as `on_finding` says."""

from collections.abc import Callable

from gradlog.diagnosis.finding import Finding
from gradlog.history import names

_RULE = "\n\n---\n\n"  # Markdown between two findings

_HOW_TO_KEEP_TRAINING = 'Use on_finding="warn" to keep training.'


class Announcer:
    """Writes findings to the Text tab, and warns, stops the training or calls a function.

    Args:
        on_finding: `"warn"`, `"stop"`, `"ignore"`, or a function that takes a `Finding`.
        writer: The run's writer.
        log_dir: String, the run's directory, named in warnings.
        model: The Keras model in training.
        warn: Function of a text that warns.
        can_stop: Boolean, whether the training loop checks `model.stop_training`, as `fit` does.
    """

    def __init__(
        self,
        on_finding: str | Callable[[Finding], None],
        writer,
        log_dir: str,
        model,
        warn: Callable[[str], None],
        *,
        can_stop: bool = True,
    ):
        self._on_finding, self._writer, self._log_dir, self._model = on_finding, writer, log_dir, model
        self._warn, self._can_stop = warn, can_stop

    def tell(self, news: list[Finding], findings: list[Finding], step: int) -> None:
        """Reports the new findings but notes; the Text tab gets all findings that hold at a step.

        What another finding explains is not warned of: the warning of the cause says what it explains.
        """
        self._writer.write_text(step, names.FINDINGS_TAG, _RULE.join(map(Finding.markdown, findings)))
        news = [finding for finding in news if not finding.is_note]
        for finding in news:
            if callable(self._on_finding):
                self._on_finding(finding)
            elif self._on_finding != "ignore" and finding.last_step is None and not finding.cause:
                self._warn(f"in {self._log_dir!r}\n{finding}")
        standing = [finding for finding in news if finding.last_step is None]
        if standing and self._on_finding == "stop" and not self._model.stop_training:
            self._model.stop_training = True
            self._warn(f"{self._stopping(step)}: {standing[0].title}. {_HOW_TO_KEEP_TRAINING}")

    def _stopping(self, step):
        if self._can_stop:
            return f"gradlog stopped the training of {self._log_dir!r} after step {step:,}"
        return (
            f"gradlog cannot stop a custom training loop; it has set `model.stop_training` at step {step:,} of "
            f"{self._log_dir!r}, for the loop to check"
        )
