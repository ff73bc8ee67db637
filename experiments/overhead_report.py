"""What the README says of cost, from the results of `experiments.overhead` and `experiments.overhead_tab`."""

COLUMNS = {
    "gradlog_200": "every 200",
    "gradlog_10": "every 10",
    "gradlog_1": "every step",
    "gradlog_scalars_1": "scalars, every step",
    "gradlog_histograms_50": "`histograms=50`, every step",
    "keras_tensorboard": "Keras `TensorBoard`",
    "tf_summary_in_step": "`tf.summary`, every step",
    "second_tape": "second tape, compiled, every step",
}
NETWORKS = {
    "article": "784-10×6, batch 30",
    "mlp_7x128": "7×128, batch 128",
    "mlp_8x1024": "8×1024, batch 64",
    "residual": "residual, 32×32, batch 32",
}


def markdown(results):
    """Returns the section as Markdown, of a dictionary that `experiments.overhead.run` returned."""
    return "\n".join([*_loop(results), "", *_fit(results["fit"]), "", *_rest(results)])


def short(results):
    """Returns what `fit` costs as the README has it: a few columns, and no quartiles."""
    columns = {name: COLUMNS[name] for name in ("gradlog_200", "gradlog_10", "gradlog_1", "tf_summary_in_step")}
    lines = [f"| network | {' | '.join(columns.values())} |", f"|{' --- |' * (1 + len(columns))}"]
    for name, label in NETWORKS.items():
        ratios = [results["fit"][name]["variants"][column]["ratio"]["median"] for column in columns]
        lines.append(f"| {label} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return "\n".join(lines)


def engines(results):
    """Returns what `fit` costs on other engines as a Markdown table.

    Args:
        results: Dictionary of what `experiments.overhead.run` returned there, by the engine's name for a reader.
    """
    columns = list(COLUMNS.items())[:5]  # of gradlog's own
    header = ["engine", "network", "bare, ms", *(label for _, label in columns)]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for engine, measured in results.items():
        for name, label in NETWORKS.items():
            variants = measured["fit"][name]["variants"]
            ratios = [variants[column]["ratio"] for column, _ in columns]
            cells = [f"{ratio['median']:.2f} ({_range(ratio)})" for ratio in ratios]
            lines.append(f"| {engine} | {label} | {variants['bare']['ms_per_step']:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tab(results):
    """Returns the sentences on the tab as Markdown, of a dictionary that `experiments.overhead_tab.run` returned."""
    config, page, later = results["config"], results["page"], results["start"]["later"]
    low, high = (f"{number:.2f}" for number in later["quartiles"])
    frame = page["move_of_the_slider"]["median"] / 2
    return (
        f"With {config['runs']} runs of {config['variables']} variables and {config['steps']:,} logged steps, and once "
        f"TensorBoard has read them, the tab shows its first picture after {page['first_picture']:.1f} s, all pictures "
        f"after {page['all_pictures']:.1f} s and all findings after {page['all_findings']:.1f} s. While the slider "
        f"moves, the pictures are redrawn every {frame * 1e3:.0f} ms, without a GPU. The largest response is "
        f"{page['largest_answer_bytes'] / 1e6:.2f} MB. The tab adds {later['median']:.2f} s to TensorBoard's start "
        f"(quartiles {low} to {high})."
    )


def _loop(results):
    loop = results["loop"]
    low, high = loop["times_as_fast"]["quartiles"]
    fast = f"{loop['times_as_fast']['median']:.1f} × (quartiles {low:.1f} to {high:.1f})"
    return [
        "| loop | ms a step | steps per second |",
        "| --- | --- | --- |",
        f"| a compiled one-step function, called from Python | {loop['ordinary_ms_per_step']:.2f} | 1 × |",
        f"| `gradlog.train`, logging every 200 steps | {loop['ours_ms_per_step']:.2f} | {fast} |",
        "",
        f"These numbers leave out compiling the two programs at the start, {loop['first_round_seconds']:.1f} s.",
    ]


def _fit(fit):
    header = ["network", "bare, ms", *COLUMNS.values()]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for name, label in NETWORKS.items():
        variants = fit[name]["variants"]
        ratios = [variants[column]["ratio"] for column in COLUMNS]
        cells = [f"{ratio['median']:.2f} ({_range(ratio)})" for ratio in ratios]
        lines.append(f"| {label} | {variants['bare']['ms_per_step']:.2f} | {' | '.join(cells)} |")
    return lines


def _range(ratio):
    return " to ".join(f"{number:.2f}" for number in ratio["quartiles"])


def _rest(results):
    tensor, disk, reading = results["tensor"]["functions"], results["disk"], results["reading"]
    ours, theirs = tensor["statistics_and_histogram"], tensor["tf_summary_histogram"]
    summary = results["fit"]["mlp_8x1024"]["variants"]["tf_summary_in_step"]["added_over_gradlog_1"]
    variants = results["fit"]["mlp_7x128"]["variants"]
    tape, eager = (variants[name]["added_over_gradlog_1"]["median"] for name in ("second_tape", "second_tape_eager"))
    return [
        f"- At every step, `tf.summary.histogram` adds {summary['median']:.0f} times as much time as gradlog (8×1024). "
        f"A second tape in a callback adds {eager:.0f} times as much as it is usually written, and {tape:.0f} times as "
        "much if it is compiled (7×128).",
        f"- One tensor of 10 million float32: gradlog's statistics and histogram take {ours['ms']:.0f} ms and "
        f"{ours['peak_bytes'] / 1e6:.0f} MB, `tf.summary.histogram` {theirs['ms']:.0f} ms and "
        f"{theirs['peak_bytes'] / 1e6:,.0f} MB. `reduce_mean(abs(x))`, which reads the tensor once, takes "
        f"{tensor['mean_abs']['ms']:.1f} ms.",
        f"- On disk, a logged step takes {disk['with_histograms']:,.0f} bytes per variable, or "
        f"{disk['scalars_only']:,.0f} without histograms.",
        f"- Reading a run of {reading['steps']:,} logged steps of {reading['variables']} variables takes "
        f"{reading['readers']['gradlog']['seconds']['median']:.2f} s, "
        f"{reading['times_as_fast']['median']:.1f} times as fast as TensorBoard's `EventAccumulator` without limits.",
    ]
