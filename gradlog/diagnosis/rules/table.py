"""All rules with their default thresholds, ordered by code."""

from gradlog.diagnosis.rules.attention_collapsed import AttentionCollapsed
from gradlog.diagnosis.rules.attention_logits import AttentionLogits
from gradlog.diagnosis.rules.collapsing import Collapsing
from gradlog.diagnosis.rules.constant_answer import ConstantAnswer
from gradlog.diagnosis.rules.dead import Dead
from gradlog.diagnosis.rules.epsilon import Epsilon
from gradlog.diagnosis.rules.erratic import Erratic
from gradlog.diagnosis.rules.exploding import Exploding
from gradlog.diagnosis.rules.nonfinite import Nonfinite
from gradlog.diagnosis.rules.not_improving import NotImproving
from gradlog.diagnosis.rules.residual_stream import ResidualStream
from gradlog.diagnosis.rules.saturated import Saturated
from gradlog.diagnosis.rules.spike import Spike
from gradlog.diagnosis.rules.unchanged import Unchanged
from gradlog.diagnosis.rules.underflow import Underflow
from gradlog.diagnosis.rules.update_ratio import UpdateRatio
from gradlog.diagnosis.rules.vanishing import Vanishing

RULES = (
    Vanishing(),
    Exploding(),
    Nonfinite(),
    Underflow(),
    Dead(),
    Saturated(),
    AttentionCollapsed(),
    AttentionLogits(),
    ResidualStream(),
    UpdateRatio(),
    Unchanged(),
    Collapsing(),
    Epsilon(),
    NotImproving(),
    Erratic(),
    Spike(),
    ConstantAnswer(),
)
