"""All checks with their default thresholds, ordered by code."""

from gradlog.diagnosis.checks.class_loss import ClassLoss
from gradlog.diagnosis.checks.constant_data import ConstantData
from gradlog.diagnosis.checks.data_values import DataValues
from gradlog.diagnosis.checks.first_activations import FirstActivations
from gradlog.diagnosis.checks.first_loss import FirstLoss
from gradlog.diagnosis.checks.first_step import FirstStepTooLarge
from gradlog.diagnosis.checks.input_scale import InputScale
from gradlog.diagnosis.checks.keras_says import KerasSays
from gradlog.diagnosis.checks.label_order import LabelOrder
from gradlog.diagnosis.checks.label_values import LabelValues
from gradlog.diagnosis.checks.logits import Logits
from gradlog.diagnosis.checks.metrics import Metrics
from gradlog.diagnosis.checks.num_rows import NumRows
from gradlog.diagnosis.checks.num_units import NumUnits
from gradlog.diagnosis.checks.overfit import Overfit
from gradlog.diagnosis.checks.small_steps import StepsTooSmall
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
    ClassLoss(),
    LabelOrder(),
    NumRows(),
    Metrics(),
    FirstLoss(),
    FirstActivations(),
    FirstStepTooLarge(),
    StepsTooSmall(),
    KerasSays(),
    Overfit(),
    ConstantData(),
)
# A single batch's targets may all be the same by chance, or of few classes.
_NEED_MORE = ConstantData | LabelOrder
OF_A_BATCH = tuple(check for check in CHECKS if not isinstance(check, _NEED_MORE))
