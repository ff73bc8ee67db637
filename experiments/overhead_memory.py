"""How much memory this process has held at most."""

import re
import resource
import sys
from pathlib import Path


def largest_bytes():
    """Returns the most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, where `ru_maxrss` begins with what the parent process holds
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text()).group(1)) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
