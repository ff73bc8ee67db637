"""What the probe sees of a model, once, and attention by hand in NumPy, float64."""

import numpy as np

from gradlog.backends.probe import Probe
from gradlog.history.history import History, Snapshot
from gradlog.session.guard import Guard
from gradlog.writers import MemoryWriter


def probed(model, x) -> History:
    """Looks at a model once, and returns what a reader finds of it."""
    probe, writer, guard = Probe(x, False), MemoryWriter(), Guard("looking")
    probe.begin(model, guard)
    probe.observe()
    assert guard.error is None, repr(guard.error)
    writer.write(probe.take().added_to(Snapshot(0, (), (), np.zeros((0, 0), np.float32))))
    return writer.history()


def scalars(history) -> dict[str, float]:
    return {tag: float(series.values[0]) for tag, series in history.scalars.items()}


def project(x, kernel, bias):
    """Queries, keys or values [B, T, H, D] of inputs [B, T, M]."""
    return np.einsum("btm,mhd->bthd", np.float64(x), np.float64(kernel)) + np.float64(bias)


def heads(query, key, mask=None):
    """Entropy over its maximum, largest logit and share of the first key of each head, [H, 3], query by query.

    Queries that see less than two keys count for the logit alone.
    """
    batch, num_queries, num_heads, depth = query.shape
    mask = (
        np.ones((batch, num_queries, key.shape[1]), bool)
        if mask is None
        else np.broadcast_to(mask, (batch, num_queries, key.shape[1]))
    )
    found = []
    for head in range(num_heads):
        entropies, largest, shares = [], 0.0, []
        for row in range(batch):
            for at in range(num_queries):
                seen = mask[row, at]
                logits = key[row, :, head] @ query[row, at, head] / np.sqrt(depth)
                largest = max(largest, abs(logits[seen]).max(initial=0))
                if seen.sum() > 1:
                    attention = np.where(seen, np.exp(logits - logits[seen].max()), 0)
                    attention /= attention.sum()
                    positive = attention[attention > 0]
                    entropies.append(-(positive * np.log(positive)).sum() / np.log(seen.sum()))
                    shares.append(attention[0])
        found.append([np.mean(entropies), largest, np.mean(shares)])
    return np.array(found)
