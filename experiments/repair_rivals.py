"""Two ways to look for a repair without a diagnosis: changes at random, and Keras Tuner's Hyperband.

Both choose from the changes that `gradlog.repair` could propose for the network, and may spend as many trainings.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

from gradlog.repair.changes.table import ALL
from gradlog.repair.data import Batches, data_of
from gradlog.repair.repair import _task as task_of_model
from gradlog.repair.search import Budget, Search
from gradlog.repair.training import Training, seeded

_MOST_CHANGES = 3  # at a time
