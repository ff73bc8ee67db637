"""The tab in a real browser, in a real TensorBoard: what one sees, clicks and types."""

import contextlib
import csv
import json
import re
import shutil

import cases
import hostile_logs
import matplotlib.image
import numpy as np
import pytest
import tensorboard_server as server
from small_logs import ATTENDING, ATTENTION, BLOCKS, MEAN_ABS, write_blocks, write_run, write_scalars

from gradlog.tensorboard import demo
from gradlog.writers import EventWriter

sync_api = pytest.importorskip("playwright.sync_api", reason="the tab is looked at with playwright, which is not here")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="the tab is looked at in Chromium, which is not here")
HOSTILE = "<img src=x onerror=alert(1)>"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# What TensorBoard itself says, with or without the tab; what failed to load stands among the responses as well.
OF_TENSORBOARD = ("Three.js", "Failed to load resource")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs")
    write_run(path / "small", histograms=True)
    for kind in ("healthy", "vanishing", "exploding"):
        demo.write(path / kind, kind)
    hostile = [f"{HOSTILE}/kernel", f"{HOSTILE}/bias", "layer2/kernel", "layer2/bias"]
    write_run(path / HOSTILE, variables=hostile)
    return path


@pytest.fixture(scope="module")
def address(log_dir):
    return opened(log_dir)


def opened(log_dir, *flags, runs=5, **arguments):
    address = server.start(log_dir, *(flags or ["--load_fast=false"]), **arguments)
    route = f"{address}data/plugin/gradlog/data/runs"
    server.wait_for(lambda: len(json.loads(server.get(route)[1])["runs"]) == runs)
    return address


@contextlib.contextmanager
def tab(browser, address, choices="", whole=False, is_ill=False):
    """The tab's frame alone, or in TensorBoard, which takes seconds to load.

    When it is left, nothing may be on the console and nothing have been requested from elsewhere. Of runs that are ill,
    answers may say so.
    """
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    problems, foreign = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("response", lambda answer: problems.append(answer.url) if is_failure(answer, is_ill) else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: foreign.append(request.url))
    entry = "" if whole else "data/plugin_entry.html?name=gradlog"
    page.goto(f"{address}{entry}#gradlog{choices}")
    yield page, page.frame_locator("iframe[src*='name=gradlog']") if whole else page
    page.close()
    assert [text for text in problems if not any(part in text for part in OF_TENSORBOARD)] == []
    here = address[: address.index("/", len("http://"))]
    assert [url for url in foreign if not url.startswith((here, "data:", f"blob:{here}"))] == []


def is_failure(answer, is_ill):
    least = 401 if is_ill else 400
    return answer.status >= least and "gradlog" in answer.url  # under a prefix, TensorBoard misses fonts of its own


def hover(frame, cells, time, row, num_steps, num_rows):
    """Moves the pointer onto a cell; returns what the tooltip says."""
    cells.scroll_into_view_if_needed()
    cells.hover(position=place(cells, time, row, num_steps, num_rows))
    return frame.locator(".tooltip").inner_text()


def place(cells, time, row, num_steps, num_rows):
    """Where a cell stands."""
    box = cells.bounding_box()
    return {"x": (time + 0.5) * box["width"] / num_steps, "y": (row + 0.5) * box["height"] / num_rows}


def cells_of(frame, run):
    return panel(frame, run).locator(".u-over")


def panel(frame, run):
    return frame.locator(f"#heatmaps figure[data-run={json.dumps(run)}]")


def test_the_tab_opens_with_a_panel_a_run_and_its_numbers(browser, address):
    with tab(browser, address, whole=True) as (page, frame):
        cells = cells_of(frame, "small")
        cells.wait_for()

        assert page.get_by_role("tab", name="Gradients").count() == 1
        assert frame.locator("#heatmaps figure").count() == 5
        for time, row in ((0, 0), (0, 1), (1, 0), (2, 1)):
            value = MEAN_ABS[time, 2 * row]  # kernels alone
            text = hover(frame, cells, time, row, 3, 2)
            assert text.startswith(f"small · layer{row + 1}/kernel · step {time * 10} · ")
            assert np.isclose(float(text.split(" · ")[3]), value, rtol=1e-3)


def test_what_is_not_finite_is_said_and_has_its_own_color(browser, address):
    with tab(browser, address, "&p.gradlog.step=0") as (_, frame):
        cells = cells_of(frame, "exploding")
        cells.wait_for()

        assert "400 elements NaN or infinite" in hover(frame, cells, 23, 0, 24, 8)
        assert color_at(cells, 23, 0, 24, 8) == [0xFF, 0x0A, 0x8A]


def color_at(cells, time, row, num_steps, num_rows):
    """The colour of a cell near its corner, for a cross may be in its middle."""
    return cells.evaluate(
        """(over, [x, y]) => {
            const drawing = over.parentElement.querySelector('canvas');
            const [box, whole] = [over.getBoundingClientRect(), drawing.getBoundingClientRect()];
            const ratio = drawing.width / whole.width;
            const left = (box.left - whole.left + x * box.width) * ratio;
            const top = (box.top - whole.top + y * box.height) * ratio;
            return [...drawing.getContext('2d').getImageData(left, top, 1, 1).data].slice(0, 3);
        }""",
        [(time + 0.2) / num_steps, (row + 0.1) / num_rows],
    )


def test_histograms_over_the_steps_have_the_parts_of_the_elements(browser, address):
    with tab(browser, address, "&p.gradlog.filter=small&p.gradlog.kind=weight") as (_, frame):
        frame.locator("#histograms .heatmap").scroll_into_view_if_needed()  # it is painted when it is seen
        cells = frame.locator("#histograms .heatmap .u-over")
        cells.wait_for()

        # three ones and a minus two
        assert hover(frame, cells, 1, 0, 3, 2) == "small · 2e0 to 4e0 · step 10 · 0.25"
        assert hover(frame, cells, 2, 1, 3, 2) == "small · 1e0 to 2e0 · step 20 · 0.75"


def test_rare_small_magnitudes_are_one_row_with_all_their_elements(browser, address):
    asked = f"{address}data/plugin/gradlog/data/histograms?run=healthy&kind=gradient&variable=layer1/kernel"
    answer = json.loads(server.get(asked)[1])
    with tab(browser, address, "&p.gradlog.filter=healthy") as (_, frame):
        frame.locator("#histograms .heatmap").scroll_into_view_if_needed()  # it is painted when it is seen
        cells = frame.locator("#histograms .heatmap .u-over")
        cells.wait_for()
        cells.scroll_into_view_if_needed()
        lowest = {"x": 2, "y": cells.bounding_box()["height"] - 2}
        cells.hover(position=lowest)
        text = frame.locator(".tooltip").inner_text()

    assert text.startswith("healthy · less than ")
    end = float(text.split(" · ")[1].removeprefix("less than "))
    ends = 2.0 ** (answer["first"] + 1 + np.arange(len(answer["counts"][0])))
    rest = np.array(answer["counts"][0])[ends < end * 1.1].sum()  # the name of a row has one digit
    assert float(text.split(" · ")[-1]) == pytest.approx(rest / 400, abs=1e-3)


def test_the_slider_moves_every_picture_and_stands_in_the_address(browser, address):
    with tab(browser, address, whole=True) as (page, frame):
        frame.get_by_text("small (step 20)").wait_for()
        slider = frame.get_by_role("slider", name="Step")

        slider.focus()
        slider.press("Home")

        frame.get_by_text("small (step 0)").wait_for()
        frame.locator("output", has_text=re.compile("^step 0$")).wait_for()
        page.wait_for_url(re.compile(re.escape("p.gradlog.step=0")))


def test_play_goes_through_the_steps_to_the_last(browser, address):
    with tab(browser, address, "&p.gradlog.filter=small&p.gradlog.step=0") as (_, frame):
        frame.get_by_text("small (step 0)").wait_for()
        frame.locator("output").evaluate(
            """output => {
                window.seen = [];
                const note = () => window.seen.push(output.textContent);
                new MutationObserver(note).observe(output, {childList: true});
            }"""
        )
        frame.get_by_role("button", name="Play").click()

        frame.get_by_text("small (step 20)").wait_for()
        frame.get_by_role("button", name="Play").wait_for()
        assert list(dict.fromkeys(frame.evaluate("window.seen"))) == ["step 0", "step 10", "step 20"]


def test_a_click_on_a_heat_map_chooses_step_and_layer(browser, address):
    with tab(browser, address) as (_, frame):
        cells = cells_of(frame, "vanishing")
        cells.wait_for()

        cells.click(position=place(cells, 2, 3, 24, 8))

        frame.get_by_text("vanishing (step 100)").wait_for()
        assert frame.get_by_label("Layer in histograms").input_value() == "layer4/kernel"
        frame.get_by_role("img", name="gradients of layer4/kernel by magnitude").wait_for()


def test_a_heat_map_can_be_read_with_the_keyboard(browser, address):
    with tab(browser, address) as (_, frame):
        cells = panel(frame, "small").locator(".heatmap")
        cells_of(frame, "small").wait_for()

        cells.focus()
        cells.press("ArrowLeft")
        cells.press("ArrowDown")

        assert frame.locator(".unseen").inner_text() == "small · layer2/kernel · step 10 · 0.03"

        before = cells_of(frame, "small").element_handle()
        frame.get_by_label("Histograms of").select_option("weight")
        frame.wait_for_function("before => !before.isConnected", arg=before)
        cells.focus()
        cells.press("ArrowLeft")

        assert frame.locator(".unseen").inner_text() == "small · layer2/kernel · step 0 · 0.01"


def test_the_filter_chooses_runs_and_says_what_is_wrong_with_it(browser, address):
    with tab(browser, address) as (_, frame):
        panel(frame, "small").wait_for()
        field = frame.get_by_label("Runs").first

        field.fill("^(small|heal)")
        panel(frame, "vanishing").wait_for(state="detached")
        shown = frame.locator("#heatmaps figure").evaluate_all("all => all.map((one) => one.dataset.run)")
        field.fill("(")
        frame.get_by_text("Invalid regular expression").wait_for()
        field.fill("nothing of the kind")
        frame.get_by_text("No matching runs").wait_for()

        assert sorted(shown) == ["healthy", "small"]


def test_an_address_brings_back_what_was_chosen(browser, address):
    choices = "&p.gradlog.filter=small&p.gradlog.statistic=update_ratio&p.gradlog.part=biases&p.gradlog.step=10"
    with tab(browser, address, choices) as (_, frame):
        panel(frame, "small").wait_for()

        assert frame.locator("#heatmaps figure").count() == 1
        assert frame.get_by_label("Statistic").input_value() == "update_ratio"
        assert frame.get_by_label("Variables").input_value() == "biases"
        assert frame.get_by_text("small (step 10)").count() == 1


def test_a_finding_shows_its_layers_in_the_pictures(browser, address):
    with tab(browser, address) as (_, frame):
        finding = frame.get_by_role("button", name="vanishing: vanishing gradient GL101 · layer1, layer2").first
        finding.wait_for()

        finding.click()

        frame.get_by_role("button", name="vanishing: vanishing gradient", pressed=True).wait_for()
        frame.get_by_text("vanishing (step 0)").wait_for()
        picked = frame.locator(".layers input:checked").evaluate_all("all => all.map((one) => one.dataset.layer)")
        assert picked[:2] == ["layer1/kernel", "layer2/kernel"]
        assert frame.get_by_role("listitem").filter(has_text="ReLU").first.is_visible()


def test_notes_are_folded(browser, tmp_path):
    writer = EventWriter(tmp_path / "settled")
    for snapshot in cases.snapshots(cases.settled()):
        writer.write(snapshot)
    writer.close()
    with tab(browser, opened(tmp_path, runs=1)) as (_, frame):
        frame.get_by_text("No findings in: settled").wait_for()
        note = frame.get_by_role("button", name="settled: exploding gradient")
        assert not note.is_visible()

        frame.get_by_text("Notes, which need no action (1)").click()

        note.wait_for()
        assert frame.locator(".severity.note").inner_text() == "note"


def test_layers_and_variables_are_matched_by_the_server(browser, address):
    """A statistic of layers keeps the layer that was picked as a kernel, and shows its kernel's histograms."""
    choices = "&p.gradlog.filter=healthy&p.gradlog.statistic=activation_dead&p.gradlog.layer=layer5/kernel"
    with tab(browser, address, choices) as (_, frame):
        frame.get_by_role("img", name="gradients of layer5 by magnitude").wait_for()

        assert frame.get_by_label("Layer in histograms").input_value() == "layer5"
        frame.get_by_label("Statistic").select_option("gradient_mean_abs")
        frame.get_by_label("Variables").select_option("biases")
        frame.get_by_role("img", name="gradients of layer5/bias by magnitude").wait_for()


def test_names_are_text_and_never_markup(browser, address):
    with tab(browser, address, "&p.gradlog.filter=onerror") as (_, frame):
        panel(frame, HOSTILE).wait_for()

        assert frame.locator("img:not([alt])").count() == 0
        assert frame.get_by_text(HOSTILE).count() > 0


def test_runs_that_are_ill_are_said_and_the_others_are_seen(browser, tmp_path):
    hostile_logs.write(tmp_path)
    write_run(tmp_path / "small")
    number = len(hostile_logs.TABLES) + 2
    address = opened(tmp_path, "--load_fast=false", runs=number + 1)  # and one that was never
    with tab(browser, address, is_ill=True) as (_, frame):
        panel(frame, "small").wait_for()
        frame.get_by_role("alert").filter(has_text="Some data could not be loaded").wait_for()
        finding = frame.get_by_role("button", name=f"{hostile_logs.MARKUP}: vanishing gradient")
        finding.click()

        frame.get_by_role("button", name=f"{hostile_logs.MARKUP}: vanishing gradient", pressed=True).wait_for()
        assert frame.locator("img:not([alt])").count() == 0
        assert panel(frame, "a million").count() == 0


def test_the_table_that_is_saved_has_the_numbers_shown(browser, address, tmp_path):
    with tab(browser, address, "&p.gradlog.filter=small") as (page, frame):
        button = frame.locator("#heatmaps").get_by_role("button", name="CSV")
        panel(frame, "small").wait_for()  # a button that is drawn anew as the runs come in may lose a click
        button.wait_for()
        with page.expect_download() as download:
            button.click()
        download.value.save_as(tmp_path / "table.csv")
        with page.expect_download() as picture:
            frame.locator("#heatmaps").get_by_role("button", name="PNG").click()
        picture.value.save_as(tmp_path / "picture.png")

    rows = list(csv.DictReader((tmp_path / "table.csv").open(newline="")))
    assert [row["variable"] for row in rows[:2]] == ["layer1/kernel", "layer2/kernel"]
    numbers = np.array([float(row["gradient_mean_abs"]) for row in rows])
    assert np.allclose(numbers, MEAN_ABS[:, [0, 2]].ravel(), rtol=1e-5)
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_is_saved_has_the_panels_out_of_sight(browser, address, tmp_path):
    with tab(browser, address) as (page, frame):
        panel(frame, "small").wait_for()
        page.set_viewport_size({"width": 700, "height": 200})  # one below the other
        page.reload()
        last = frame.locator("#heatmaps .heatmap").nth(4)
        last.wait_for()
        assert last.locator("canvas").count() == 0  # not painted yet
        with page.expect_download() as download:
            frame.locator("#heatmaps").get_by_role("button", name="PNG").click()
        download.value.save_as(tmp_path / "picture.png")
        whole, part = frame.locator("#heatmaps").bounding_box(), last.bounding_box()

    picture = matplotlib.image.imread(tmp_path / "picture.png")
    left, top = round(part["x"] - whole["x"]), round(part["y"] - whole["y"])
    seen = picture[top : top + round(part["height"]), left : left + round(part["width"])]
    assert len(np.unique(seen.reshape(-1, seen.shape[2]), axis=0)) > 10


def test_a_server_that_was_away_is_said_and_taken_up_again(browser, address):
    with tab(browser, address, "&p.gradlog.filter=small") as (page, frame):
        panel(frame, "small").wait_for()
        page.route("**/gradlog/data/runs*", lambda route: route.abort())
        alert = frame.get_by_role("alert").filter(has_text="Some data could not be loaded")
        alert.wait_for()
        page.unroute("**/gradlog/data/runs*")
        alert.wait_for(state="hidden")
        assert panel(frame, "small").count() == 1


def test_going_back_brings_back_what_was_shown(browser, address):
    with tab(browser, address) as (page, frame):
        panel(frame, "small").wait_for()
        page.evaluate("location.hash = '#gradlog&p.gradlog.statistic=update_ratio&p.gradlog.filter=small'")
        panel(frame, "healthy").wait_for(state="detached")
        assert frame.get_by_label("Statistic").input_value() == "update_ratio"

        page.go_back()

        panel(frame, "healthy").wait_for()
        assert frame.get_by_label("Statistic").input_value() == "gradient_mean_abs"


def test_dark_and_light_follow_tensorboard(browser, address):
    with tab(browser, address, whole=True) as (page, frame):
        panel(frame, "small").wait_for()
        page.evaluate("document.body.classList.add('dark-mode')")
        frame.locator("html.dark").wait_for()
        page.evaluate("document.body.classList.remove('dark-mode')")
        frame.locator("html:not(.dark)").wait_for()


def test_help_stands_where_there_are_no_runs_and_what_is_written_then_is_followed(browser, tmp_path):
    write_scalars(tmp_path / "foreign", {"train/loss": 1.0})
    pytest.importorskip("tensorboard_data_server")
    with tab(browser, opened(tmp_path, "--load_fast=true", runs=0, reload_interval=1)) as (_, frame):
        frame.get_by_role("heading", name="No gradients logged yet").wait_for()
        assert frame.get_by_text("GradientLogger").count() == 1

        write_run(tmp_path / "new")

        panel(frame, "new").wait_for(timeout=20000)
        frame.locator("output", has_text=re.compile("^step 20$")).wait_for()

        write_run(tmp_path / "new", steps=(30, 40, 50))

        frame.locator("output", has_text=re.compile("^step 50$")).wait_for(timeout=20000)


def test_a_prefix_of_the_path_is_kept(browser, log_dir):
    with tab(browser, opened(log_dir, "--load_fast=false", "--path_prefix=/some/where"), whole=True) as (_, frame):
        panel(frame, "small").wait_for()


@pytest.fixture(scope="module")
def of_blocks(tmp_path_factory):
    """The address of a run of four blocks of eight kernels, with attention."""
    path = tmp_path_factory.mktemp("blocks")
    write_blocks(path / "deep")
    return opened(path, runs=1)


def markers(frame):
    """The blocks of the heat map, and whether each is unfolded."""
    all_of = "all => all.map((one) => [one.dataset.block, one.classList.contains('open')])"
    return dict(frame.locator("#heatmaps .marker").evaluate_all(all_of))


def test_many_layers_start_folded_and_a_block_shows_its_largest_value(browser, of_blocks):
    with tab(browser, of_blocks) as (_, frame):
        cells = cells_of(frame, "deep")
        cells.wait_for()

        assert markers(frame) == {f"block_{number}": False for number in range(4)}
        for block in range(4):
            text = hover(frame, cells, 1, block, 2, 5)
            assert text.startswith(f"deep · block {block}, the largest of 8 · step 10 · ")
            assert float(text.split(" · ")[-1]) == pytest.approx(8 * (block + 1) * 3e-4, rel=1e-3)
        assert hover(frame, cells, 0, 4, 2, 5) == "deep · head/kernel · step 0 · 0.0033"


def test_a_click_unfolds_a_block_and_another_folds_it(browser, of_blocks):
    with tab(browser, of_blocks) as (page, frame):
        cells = cells_of(frame, "deep")
        cells.wait_for()

        cells.click(position=place(cells, 0, 2, 2, 5))

        frame.locator(".marker.open").wait_for()
        assert markers(frame) == {f"block_{number}": number == 2 for number in range(4)}
        assert hover(frame, cells_of(frame, "deep"), 0, 3, 2, 12) == "deep · block_2/b/kernel · step 0 · 0.0018"
        assert "p.gradlog.turned=" + "%5B%22block_2%22%5D" in page.url
        page.reload()  # the address alone brings it back
        frame.locator(".marker.open").click()
        frame.locator(".marker.open").wait_for(state="detached")
        assert markers(frame) == {f"block_{number}": False for number in range(4)}
        assert "turned" not in page.url
        frame.locator(".marker").nth(1).click()
        frame.locator(".marker.open").wait_for()
        assert markers(frame)["block_1"]


def test_all_blocks_are_folded_and_unfolded_at_once(browser, of_blocks):
    with tab(browser, of_blocks, "&p.gradlog.turned=%5B%22block_1%22%5D") as (page, frame):
        frame.locator(".marker.open").wait_for()

        frame.get_by_role("button", name="Unfold all blocks").click()

        frame.wait_for_function("document.querySelectorAll('.marker.open').length === 4")
        assert hover(frame, cells_of(frame, "deep"), 0, 31, 2, 33) == "deep · block_3/h/kernel · step 0 · 0.0032"
        assert "p.gradlog.blocks=unfolded" in page.url
        frame.get_by_role("button", name="Fold all blocks", exact=True).click()
        frame.wait_for_function("document.querySelectorAll('.marker.open').length === 0")
        assert "p.gradlog.blocks=folded" in page.url


def test_blocks_are_unfolded_and_folded_with_the_keyboard(browser, of_blocks):
    with tab(browser, of_blocks) as (_, frame):
        cells_of(frame, "deep").wait_for()
        heat_map = panel(frame, "deep").locator(".heatmap")
        said = frame.locator(".unseen")

        heat_map.focus()
        heat_map.press("ArrowDown")
        assert said.inner_text() == "deep · block 1, the largest of 8 · step 10 · 0.0048"
        heat_map.press("Enter")
        frame.locator(".marker.open").wait_for()
        assert markers(frame)["block_1"]
        heat_map.press("ArrowDown")  # from the first layer of the block, which keeps the focus
        assert said.inner_text() == "deep · block_1/b/kernel · step 10 · 0.003"
        heat_map.press(" ")
        frame.locator(".marker.open").wait_for(state="detached")
        heat_map.press("ArrowUp")
        assert said.inner_text() == "deep · block 0, the largest of 8 · step 10 · 0.0024"


def test_labels_keep_the_number_of_the_block(browser, of_blocks):
    with tab(browser, of_blocks) as (_, frame):
        cells_of(frame, "deep").wait_for()
        layers = frame.get_by_label("Layer in histograms")

        groups = layers.locator("optgroup").evaluate_all("all => all.map((one) => [one.label, one.innerText])")
        assert [label for label, _ in groups] == [f"block {number}" for number in range(4)]
        assert layers.locator("option").all_inner_texts() == [f"{n} · {x}" for n in range(4) for x in "abcdefgh"] + [
            "head"
        ]
        assert layers.input_value() == BLOCKS[0]
        assert frame.locator("#overTime .u-legend").inner_text().split("deep ")[1].startswith("0 · a")
        frame.locator(".layers > summary").click()
        frame.locator(".layers .block", has_text="block 2").locator("summary").click()
        frame.locator(f".layers input[data-layer='{BLOCKS[17]}']").check()
        frame.get_by_text("block 2 (1 of 8)").wait_for()
        assert "2 · b" in frame.locator("#overTime .u-legend").inner_text()


def test_a_finding_frames_its_folded_blocks(browser, tmp_path):
    variables = [name for name in BLOCKS if name.endswith("kernel")]
    levels = np.where([name.startswith(("block_0", "block_1")) for name in variables], 1e-8, 1e-2)
    write_run(tmp_path / "sick", np.tile(levels, (12, 1)), range(0, 120, 10), variables=variables)
    with tab(browser, opened(tmp_path, runs=1)) as (_, frame):
        frame.get_by_role("button", name="sick: vanishing gradient GL101 · blocks 0 to 1").click()

        frame.locator("#heatmaps .box").wait_for()
        where = frame.locator("#heatmaps .box").evaluate("box => [box.style.top, box.style.height]")
        assert where == ["0%", "40%"]  # two rows of five


def test_a_network_without_blocks_has_nothing_to_fold(browser, address):
    with tab(browser, address, "&p.gradlog.filter=small") as (_, frame):
        cells_of(frame, "small").wait_for()

        assert frame.locator(".marker, optgroup, .layers .block").count() == 0
        assert not frame.get_by_role("button", name="Fold all blocks", exact=True).is_visible()
        assert not frame.locator("#attention").is_visible()


def test_attention_is_a_map_of_heads_by_layers_that_moves_with_the_slider(browser, of_blocks, tmp_path):
    with tab(browser, of_blocks) as (page, frame):
        section = frame.locator("#attention")
        section.wait_for()
        section.scroll_into_view_if_needed()
        cells = section.locator(".u-over")
        cells.wait_for()

        for head, layer in ((0, 0), (2, 0), (1, 1)):
            text = hover(frame, cells, head, layer, 3, 2)
            assert text.startswith(f"deep · {ATTENDING[layer]} · head {head} · step 10 · ")
            assert float(text.split(" · ")[-1]) == pytest.approx(ATTENTION[1, layer, head, 0], abs=1e-3)
        assert hover(frame, cells, 2, 1, 3, 2).endswith(" · –")  # this layer has two heads

        frame.get_by_role("combobox", name="Attention").select_option("sink")
        section.get_by_role("heading", name="share of the first token").wait_for()
        frame.get_by_role("slider", name="Step").press("Home")
        section.get_by_text("by heads; step 0").wait_for()
        text = hover(frame, section.locator(".u-over"), 1, 0, 3, 2)
        assert float(text.split(" · ")[-1]) == pytest.approx(ATTENTION[0, 0, 1, 2], abs=1e-3)
        page.wait_for_url(re.compile("p.gradlog.attention=sink"))

        with page.expect_download() as download:
            section.get_by_role("button", name="CSV").click()
        download.value.save_as(tmp_path / "attention.csv")
    rows = list(csv.DictReader((tmp_path / "attention.csv").open(newline="")))
    assert (rows[0]["layer"], rows[0]["head"], len(rows)) == (ATTENDING[0], "0", 2 * 2 * 3)
    assert float(rows[1]["sink"]) == pytest.approx(ATTENTION[0, 0, 1, 2], rel=1e-4)
