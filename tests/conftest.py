"""What every test needs ahead of TensorFlow, and what a run says at its end: the processor's time and the memory."""

import os
import resource

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
_USAGES = pytest.StashKey[dict]()


def _usage():
    """Returns the seconds of processor, with the processes that were started, and the largest memory in bytes."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return {"seconds": seconds, "bytes": own.ru_maxrss * 1024}


def pytest_configure(config):
    config.stash[_USAGES] = {}


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["usage"] = _usage()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Keeps what a worker of xdist used, which it says as it ends."""
    if usage := getattr(node, "workeroutput", {}).get("usage"):
        node.config.stash[_USAGES][node.gateway.id] = usage


def pytest_terminal_summary(terminalreporter, config):
    usages = config.stash[_USAGES] or {"this process": _usage()}
    workers = ", ".join(f"{name} {usage['bytes'] / 2**30:.1f} GiB" for name, usage in sorted(usages.items()))
    seconds = sum(usage["seconds"] for usage in usages.values())
    terminalreporter.write_line(f"{seconds:.0f} s of processor; at most, of memory: {workers}")
