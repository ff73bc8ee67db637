"""The public names, which `__init__.py` imports when they are first used, as a type checker sees them."""

from gradlog import rules as rules
from gradlog import writers as writers
from gradlog.commands.plot import plot as plot
from gradlog.diagnosis.diagnose import diagnose as diagnose
from gradlog.diagnosis.finding import Finding as Finding
from gradlog.events.reader import read as read
from gradlog.history.history import History as History
from gradlog.repair.repair import repair as repair
from gradlog.session.callback import GradientLogger as GradientLogger
from gradlog.session.check import check as check
from gradlog.session.loop import train as train

__version__: str
