"""Trainings side by side, in separate processes, under one progress bar."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool

import keras

from experiments import runs

_LOOK = 0.2  # seconds between two looks at how far the processes are


_count = None  # of this process: the function that counts one step
_shared = None  # of this process: what all trainings need


def count():
    """Moves the progress bar on by one."""
    _count()


class StepCounter(keras.callbacks.Callback):
    """Moves the progress bar on by the steps of a training."""

    def on_train_batch_end(self, batch, logs=None):
        """Counts one step."""
        count()


def carry_out(train, jobs, shared, steps, processes):
    """Carries out trainings.

    Args:
        train: Function of a module, of `shared` and a job, that returns what can be pickled.
        jobs: List of jobs.
        shared: What all of them need, such as the data; handed to each process once.
        steps: Integer, of all trainings together; they count them with a `StepCounter`.
        processes: Integer, how many run at a time. `1` runs them in this process.

    Returns:
        List of what `train` returned, in the order of the jobs.

    Raises:
        OSError: a process was ended from outside.
    """
    with runs.progress_bar() as progress:
        task = progress.add_task("trainings", total=steps, loss=f"0 of {len(jobs)} trainings")

        def show(num_done, **steps_done):
            progress.update(task, loss=f"{num_done} of {len(jobs)} trainings", **steps_done)

        if processes == 1:
            return _one_by_one(train, jobs, shared, show)
        return _side_by_side(train, jobs, shared, processes, show)


def _one_by_one(train, jobs, shared, show):
    results = []
    _begin(lambda: show(len(results), advance=1), shared)
    for job in jobs:
        results.append(train(shared, job))
    show(len(results))
    return results


def _side_by_side(train, jobs, shared, processes, show):
    # Spawned, because TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    with (
        _quiet(),
        concurrent.futures.ProcessPoolExecutor(
            processes, context, _begin_process, (counter, shared, processes)
        ) as pool,
    ):
        futures = [pool.submit(_call, train, job) for job in jobs]
        try:
            waiting = futures
            while waiting:
                done, waiting = concurrent.futures.wait(waiting, _LOOK)
                for future in done:
                    future.result()  # raises what the training raised
                show(len(futures) - len(waiting), completed=counter.value)
        except BrokenProcessPool as error:
            raise OSError(
                "the process of a training was ended from outside, perhaps for want of memory. "
                "--processes 1 trains one network after another"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():  # which else would train on to their end
                process.terminate()
            raise
    return [future.result() for future in futures]


@contextlib.contextmanager
def _quiet():
    """Keeps the processes' messages of TensorFlow, but for its errors, out of the progress bar."""
    name = "TF_CPP_MIN_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "2")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name)


def _begin_process(counter, shared, processes):
    def count():
        with counter.get_lock():
            counter.value += 1

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for this one answers it
    if keras.backend.backend() == "tensorflow":
        _limit_tensorflow(processes)
    _begin(count, shared)


def _limit_tensorflow(processes):
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # which one process would take whole; these networks are small
    tf.config.threading.set_intra_op_parallelism_threads(max(1, (os.cpu_count() or 1) // processes))


def _begin(count, shared):
    global _count, _shared
    _count, _shared = count, shared


def _call(train, job):
    return train(_shared, job)
