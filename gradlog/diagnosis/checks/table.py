"""All checks with their default thresholds, ordered by code."""

from gradlog.diagnosis.checks.data_values import DataValues
from gradlog.diagnosis.checks.input_scale import InputScale
from gradlog.diagnosis.checks.label_values import LabelValues
from gradlog.diagnosis.checks.logits import Logits
from gradlog.diagnosis.checks.num_units import NumUnits
from gradlog.diagnosis.checks.softmax_of_one import SoftmaxOfOne
from gradlog.diagnosis.checks.target_range import TargetRange

CHECKS = (
    SoftmaxOfOne(),
    TargetRange(),
    NumUnits(),
    LabelValues(),
    Logits(),
    DataValues(),
    InputScale(),
)
# Those that a single batch can be judged by: its targets may all be the same by chance, and its inputs are not kept.
OF_A_BATCH = tuple(check for check in CHECKS if not isinstance(check, DataValues | InputScale))
