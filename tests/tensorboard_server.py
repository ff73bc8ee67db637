"""A real TensorBoard, with the tab, in a thread of this process; it ends with the process."""

import time
import urllib.error
import urllib.request

from tensorboard import default, program

from gradlog.tensorboard.plugin import GradientsLoader


def start(log_dir, *flags, reload_interval=0):
    """Starts TensorBoard on a free port of this machine alone; returns its address, with a slash at the end.

    Args:
        log_dir: Path.
        flags: Strings, more flags.
        reload_interval: Seconds between two looks for what is new; 0 is one look. A thread that is still in C++ when
            the process ends would abort it, so what is followed is better read by TensorBoard's own process, with
            `--load_fast=true`.
    """
    flags = [f"--reload_interval={reload_interval}", *flags]
    server = program.TensorBoard(plugins=[*default.get_static_plugins(), GradientsLoader])
    server.configure(argv=["", "--logdir", str(log_dir), "--host", "127.0.0.1", "--port", "0", *flags])
    return server.launch()


def get(address):
    """Returns (status, content) of an address."""
    try:
        with urllib.request.urlopen(address, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_for(condition, seconds=20):
    """Returns the first true value of a function that is called until it has one."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "TensorBoard did not read the runs in time"
        time.sleep(0.05)
    return value
