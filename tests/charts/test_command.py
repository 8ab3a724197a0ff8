"""The command: what it draws is what the page draws, and what it cannot draw it refuses, with nothing written."""

import errno
import html
import io
import json
import pickle
import re
import shlex
import signal
import struct
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from charts import export, gallery
from charts.__main__ import main
from charts.figure import Figure
from charts.gallery import OPTIONS, PAGES, Look, address, arguments, option
from charts.topics import TOPICS as BY_NAME
from tests.charts.topics import TOPICS, random_values

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command in an empty folder; returns status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        status = main([str(each) for each in argv])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def written(folder, *argv):
    """Run the command and return what it has written, by way of JSON: all but the specification, which is constant."""
    path = folder / "figure.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "spec", lambda figure, width: {})  # to build one takes up to a second
        assert main([*map(str, argv), "-o", str(path)]) == 0
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def drawn(tmp_path):
    """Run the command in an empty folder; returns what it has written."""
    return lambda *argv: written(tmp_path, *argv)


def same(written, figure):
    """Whether the file holds the figure's data, to six significant digits."""
    assert written["usermeta"]["title"] == figure.title
    assert written["usermeta"]["caption"] == figure.caption
    assert set(written["datasets"]) == set(figure.data)
    for name, frame in figure.data.items():
        rows = written["datasets"][name]
        assert len(rows) == len(frame)
        for column in frame:
            got = [row[column] for row in rows]
            if frame[column].dtype.kind == "f":
                expected = frame[column].to_numpy(float)
                np.testing.assert_allclose(np.array(got, float), expected, rtol=5.1e-6, err_msg=column)
            else:
                assert got == frame[column].tolist(), f"{name}.{column}"
    return True


def figure_of(topic, values, tab="", name=""):
    view = topic.view(values)
    if not tab:
        return view.figure
    blocks = next(each for each in view.tabs if each.name == tab).blocks()
    return next(b for b in blocks if isinstance(b, Figure) and b.name.endswith(f"/{name}"))


# The same as the page


def test_the_pages_are_those_of_the_app():
    assert tuple(BY_NAME) == PAGES
    assert all(gallery.topic(name) is topic for name, topic in BY_NAME.items())
    with pytest.raises(KeyError):
        gallery.topic("os")


@every_topic
def test_the_arguments_give_back_the_values(topic, drawn):
    from charts.__main__ import _given, _joined, _values

    for seed in range(12):
        values = topic.settle(random_values(topic, 900 + seed))
        told = arguments(topic, values)
        for argv in (told, [part for each in told for part in each.split("=", 1)]):
            found, _ = _values(topic, {}, _given(_joined(argv))[1])
            assert topic.settle(found) == values
    assert arguments(topic, topic.fill({})) == []


def test_a_scenario_by_its_name(drawn):
    topic = BY_NAME["dropout"]
    scenario = topic.scenarios[-1]
    figure = topic.view(topic.scenario_values(scenario)).figure
    assert same(drawn(topic.name, "--scenario", scenario.name.upper()), figure)


def test_a_scenario_with_a_parameter_changed(drawn):
    topic = BY_NAME["optimizers"]
    wanted = topic.fill({**topic.scenario("Four minima").values, "steps": 30})
    assert same(drawn("optimizers", "--scenario", "Four minima", "--steps", 30), topic.view(wanted).figure)


def test_another_surface_brings_its_own_start_and_rates(drawn):
    topic = BY_NAME["optimizers"]
    there = topic.view(topic.fill({"surface": "Rosenbrock", "optimizers": ("GD", "Momentum")})).figure
    asked = ("--surface", "rosenbrock", "--optimizers", "GD,Momentum")
    assert same(drawn("optimizers/trajectories", *asked), there)
    link = address(topic, topic.fill({"surface": "Himmelblau", "gd_lr": 0.003}))
    assert same(drawn(link, *asked), there)


def test_a_figure_of_a_tab_by_a_link(drawn):
    topic = BY_NAME["optimizers"]
    values = topic.fill({"surface": "Booth", "step_at": 3, "step_optimizer": "Adam"})
    link = f"http://localhost:8501/{address(topic, values, 'Step')}"
    expected = figure_of(topic, values, "Step", "step")
    for name in ("step", "optimizers/step"):
        assert same(drawn(link, "--figure", name), expected)
    assert same(drawn(link), topic.view(values).figure)
    assert same(drawn(f"{link}&figure=step"), expected)
    assert same(drawn(f"{link}&figure=trajectories", "--figure", "step"), expected)
    assert same(drawn(f"{link}&figure="), topic.view(values).figure)


def test_a_link_that_names_no_page_is_known_by_its_parameters(drawn):
    topic = BY_NAME["dropout"]
    assert same(drawn("?drop_p=0.25"), topic.view(topic.fill({"p": 0.25})).figure)
    assert same(drawn("/dropout"), topic.view(topic.fill({})).figure)
    assert same(drawn("https://a.example/dropout?embed=true"), topic.view(topic.fill({})).figure)


def test_a_figure_behind_a_choice_brings_the_choice_with_it(drawn):
    topic = BY_NAME["optimizers"]
    expected = figure_of(topic, topic.fill({"fair_view": "ranking"}), "Fair", "fair_ranking")
    link = address(topic, topic.fill({}))
    assert same(drawn("optimizers/fair_ranking"), expected)
    assert same(drawn(link, "--figure", "fair_ranking", "--fair_view", "ranking"), expected)


def test_a_figure_of_the_derivation(drawn):
    fold = BY_NAME["batchnorm"].view(BY_NAME["batchnorm"].fill({})).folds[0]
    assert same(drawn("batchnorm/identity"), next(b for b in fold.blocks() if isinstance(b, Figure)))


# Names of parameters


def test_a_short_name_is_that_of_the_edited_optimizer(drawn):
    topic = BY_NAME["optimizers"]
    assert same(drawn("optimizers", "--lr", 0.02), topic.view(topic.fill({"gd_lr": 0.02})).figure)
    for how in (("--edit", "Adam"), ("--optimizers", "Adam", "--optimizers", "GD")):
        given = {"edit": "Adam"} if how[0] == "--edit" else {"optimizers": ("Adam", "GD")}
        assert same(
            drawn("optimizers", "--lr=0.02", *how), topic.view(topic.fill({**given, "adam_lr": 0.02})).figure
        )
    assert same(drawn("optimizers", "--rho", 0.8), topic.view(topic.fill({"rmsprop_rho": 0.8})).figure)


def test_an_ambiguous_name_lists_what_it_may_be(run):
    status, _, err = run("optimizers", "--twin", "GD", "--lr", 0.1, "-o", "a.png")
    assert status == 2
    assert "--gd_lr, --twin_lr" in err
    status, _, err = run("optimizers/rotation", "--horizon", 50, "-o", "a.png")
    assert status == 2
    assert "--fair_horizon, --rot_horizon" in err


@every_topic
def test_every_knob_has_a_name_of_its_own(topic):
    names = [option(topic, knob) for knob in topic.knobs]
    assert len(set(names)) == len(names)
    assert not {name.replace("_", "-") for name in names} & OPTIONS


def test_a_knob_that_shares_its_name_with_an_option(drawn):
    topic = BY_NAME["initialization"]
    figure = topic.view(topic.fill({"scale": "five decades", "schemes": ("N(0, 1)", "He normal")})).figure
    written = drawn(
        "initialization", "--init_scale", "five decades", "--schemes", "N(0, 1),he normal", "--scale", 3
    )
    assert same(written, figure)


def test_values_with_a_minus_switches_and_dashes(drawn):
    topic = BY_NAME["optimizers"]
    wanted = topic.fill({"start_x": -0.1, "start_y": -2.0, "points": True})
    argv = ("--start-x", "-1e-1", "--opt_start_y=−2", "optimizers", "--points")
    assert same(drawn(*argv), topic.view(wanted).figure)


# Refusals


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("optimism", r"optimism: no such page; there are activations, initialization"),
        ("' '", r"an empty name; there are activations"),
        ("'' --p 0.3", r"an empty name; there are activations"),
        ("dropout --p 0.2 --drop_p 0.3", r"--drop_p is --p, which is given too"),
        ("dropout --seed 1e400", r"seed = 1e400: needs a whole number"),
        ("dropout --scenario None", r"scenario = None: needs one of Half dropped, Light"),
        ("dropout --p 1.5", r"p = 1.5: needs a number from 0 to 1"),
        ("dropout --p nan", r"p = nan: needs a number from 0 to 1"),
        ("dropout --p 1 --inputs many", r"inputs = many: needs a whole number from 1 to 500"),
        ("dropout --input 3", r"--input: Dropout has no such parameter. Nearest: .*inputs.*panel has p, "),
        ("dropout --inputs", r"--inputs: its value is missing; it needs a whole number from 1 to 500"),
        ("dropout --p --inputs 3", r"--p: its value is missing; it needs a number from 0 to 1"),
        ("initialization --schemes", r"--schemes: its value is missing; it needs .* of "),
        ("dropout --p 0.2 --inputs 3 --p 0.3", r"--p is given 2 times: 0.2 and 0.3"),
        ("dropout --drop-p 0.2 --drop_p 0.2", r"--drop_p is given 2 times: 0.2 and 0.2"),
        ("dropout --depth_layers 3", r"--depth_layers .* the tab Depth; this figure has p, "),
        ("optimizers --adam_lr 0.1 --optimizers GD", r"--adam_lr changes nothing .* nothing uses it"),
        ("optimizers --step_optimizer Lion", r"step_optimizer = Lion: needs one of GD, Momentum"),
        ("optimizers --surface 'Your own f(x, y)' --formula __import__", r"formula = __import__: "),
        ("optimizers --lr 0.1 --gd_lr 0.2", r"--lr is --gd_lr"),
        ("/dropout?drop_p=7&drop_q=1", r"p = 7: needs a number.*drop_q: this page has no such parameter"),
        ("https://a.example/home?x=1", r"a link to no page; there are activations"),
        ("http://[", r"not a link"),
        ("dropout?drop_p=0.3 --figure optimizers/step", r"not a figure of dropout"),
        ("dropout?figure=optimizers/step", r"figure = optimizers/step: not a figure of dropout; .* lists"),
        ("dropout/depth --figure network", r"the figure is dropout/depth already"),
        ("dropout activations", r"activations: one figure at a time"),
        ("dropout -x", r"-x: no such option"),
        ("dropout --size huge", r"--size huge: needs one of half, page, slide"),
        ("dropout --ground both", r"--ground both: needs one of white, transparent, dark$"),
        ("--all --ground red", r"--ground red: needs one of white, transparent, dark, both"),
        ("dropout --scale 9", r"scale = 9: needs a whole number from 1 to 4"),
        ("dropout --link javascript:x", r"needs an address that begins with http"),
        ("dropout --ending png", r"--ending goes with a folder"),
        ("--p 1", r"--p: no option .* name a figure first"),
        ("--list", r"--list: no option of the command, .* --help lists those"),
        ("--size half", r"name a figure first"),
        ("--all --p 1", r"--all takes no parameters"),
        ("--all nope", r"nope: no such page"),
    ],
)
def test_a_bad_command_says_what_there_is_and_writes_nothing(run, tmp_path, argv, said):
    output = "folder/" if "--all" in argv else "figure.svg"
    status, out, err = run(*shlex.split(argv), "-o", output)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert re.search(said, err), err
    assert not list(tmp_path.iterdir())


def test_an_unknown_figure_lists_those_behind_choices_too(run, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "topic", lambda page: _small(BY_NAME[page], "Network"))
    for target in ("dropout/nope", "dropout?figure=nope"):
        status, _, err = run(target, "-o", "figure.png")
        assert status == 2
        assert "dropout/nope: no such figure" in err
        assert "dropout/scaling, dropout/convergence, dropout/network, dropout/twins" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("figure.bmp", "needs a name that ends in one of .png, .svg"),
        ("figure", "needs a name that ends in one of .png, .svg"),
        ("missing/figure.png", "there is no folder missing"),
        ("missing/folder/", "there is no folder missing"),
        ("taken/", "taken/: is a file, not a folder"),
        ("taken/figure.png", "there is no folder taken"),
        ("", "--output: an empty name"),
    ],
)
def test_a_bad_file_is_refused(run, tmp_path, output, said):
    (tmp_path / "taken").touch()
    for command in (("dropout",), ("--all", "dropout")):
        if output.endswith("/") or not output or command == ("dropout",):
            status, _, err = run(*command, "-o", output)
            assert status == 2
            assert said in err
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("failure", [OSError, BrokenProcessPool])
@pytest.mark.parametrize("everything", [False, True])
def test_a_failure_on_the_way_leaves_nothing(run, tmp_path, monkeypatch, everything, failure):
    def failing(self, place, ending):
        raise failure("no space left")

    monkeypatch.setattr(Look, "render", failing)
    argv = ("--all", "dropout", "-o", "new/") if everything else ("dropout", "-o", "new.png")
    status, _, err = run(*argv)
    assert status == 1
    assert err.endswith("error: no space left\n")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def heard():
    """Let an interrupt be heard: whoever is started in the background inherits that it is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("output", ["new.png", "new/", "old/"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_one_line_and_leaves_nothing(
    run, tmp_path, monkeypatch, output, number, status
):
    def stopped(self, place, ending):
        signal.raise_signal(number)

    monkeypatch.setattr(Look, "render", stopped)
    monkeypatch.setattr(gallery, "say", lambda line: None)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mine.txt").touch()
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    argv = ("--all", "dropout") if output.endswith("/") else ("dropout",)
    assert run(*argv, "-o", output) == (
        status, "", "interrupted\n" if number == signal.SIGINT else "terminated\n",
    )  # fmt: skip
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")) == ["old", "old/mine.txt"]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    path.write_bytes(b"before")

    def refuse(self, target):
        raise PermissionError(target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        gallery.write(path, b"after")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"before"]


# Files, lists and help


def test_the_link_is_printed_if_the_app_has_an_address(drawn):
    asked = ("dropout", "--p", 0.3)
    assert drawn(*asked)["usermeta"]["link"] == ""
    base = "https://a.example/app/"
    assert drawn(*asked, "--link", base)["usermeta"]["link"] == f"{base}dropout?drop_p=0.3"
    assert drawn("dropout", "--link", base)["usermeta"]["link"] == f"{base}dropout"
    link = drawn("optimizers/step", "--step_at", 3, "--link", base)["usermeta"]["link"]
    assert link == f"{base}optimizers?opt_step_at=3&opt_tab=Step"
    topic = BY_NAME["optimizers"]
    expected = figure_of(topic, topic.fill({"step_at": 3}), "Step", "step")
    assert same(drawn(link, "--figure", "step"), expected)


def test_a_folder_gets_a_file_named_by_its_content(run, tmp_path):
    assert run("dropout", "--p", 0.3, "--ending", "csv", "-o", "notes/")[1].strip() == str(
        next((tmp_path / "notes").iterdir()).relative_to(tmp_path)
    )
    status, out, _ = run("dropout?drop_p=0.3", "--ending", "csv")
    assert status == 0
    assert "p0.3" in out
    assert (tmp_path / out.strip()).is_file()


def test_the_list_of_a_page(run, monkeypatch):
    topic = BY_NAME["batchnorm"]
    small = _small(topic, "Family")
    monkeypatch.setattr(gallery, "topic", lambda page: small)
    status, out, _ = run("batchnorm")
    assert status == 0
    for name in ("batchnorm/stream", "batchnorm/family_cells", "batchnorm/invariances", "batchnorm/identity"):
        assert f"  {name} " in out
    assert '(tab Family, --family_view "invariances")' in out
    assert all(f"  {scenario.name}" in out for scenario in small.scenarios)


def test_the_list_of_everything(run, monkeypatch):
    monkeypatch.setattr(gallery, "topic", lambda page: _small(BY_NAME[page], BY_NAME[page].tabs[0]))
    status, out, _ = run()
    assert status == 0
    for topic in TOPICS:
        assert f"{topic.title}: {topic.question}" in out
        assert f"  {topic.view(topic.fill({})).figure.name} " in out


@every_topic
def test_help_lists_every_parameter_with_its_range(run, topic):
    status, out, _ = run(topic.name, "--help")
    assert status == 0
    text = " ".join(out.split())
    for name, knob in topic.knobs.items():
        assert f" --{option(topic, name)} " in text
        # Long names are broken at their hyphens.
        assert "".join(knob.range_text.split()) in "".join(text.split())


def test_help_tells_how(run):
    status, out, _ = run("-h")
    assert status == 0
    assert all(f"--{name}" in out for name in OPTIONS)


def test_what_acts_on_a_figure():
    topic = BY_NAME["optimizers"]
    values = topic.settle(topic.fill({}))
    main_ = gallery.acting(gallery.main_place(topic, values))
    assert {"surface", "gd_lr", "adam_lr", "momentum_momentum", "start_x", "twin"} < set(main_)
    assert not {"lion_lr", "step_at", "fair_view"} & set(main_)
    step = gallery.acting(gallery.Place(topic, values, topic.view(values).figure, "Step"))
    assert step == [*main_, "step_optimizer", "step_at"]


def test_as_a_process(run, tmp_path):
    def process(*argv):
        command = [sys.executable, "-W", "error", "-m", "charts", *argv]
        return subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )

    asked = ("dropout/scaling", "--p", "0.3", "--size", "half", "-o")
    done = process(*asked, "a.svg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.svg\n", "")
    assert run(*asked, "b.svg") == (0, "b.svg\n", "")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.svg", "b.svg"]


# The gallery


def _small(topic, tab):
    """Return a topic with one tab and, besides the default view, one scenario of it and one of the main figure."""

    def make(values):
        view = topic.make(values)
        return replace(view, tabs=tuple(each for each in view.tabs if each.name == tab))

    first, *others = topic.scenarios
    about = [s for s in others if s.tab == tab][:1] or [replace(others[0], tab=tab)]
    plain = [s for s in others if not s.tab][-1:]
    return replace(topic, name=topic.name, make=make, scenarios=(first, *about, *plain))


class Page(HTMLParser):
    """The addresses that a page refers to, the identifiers in it, and its pictures' texts."""

    def __init__(self, text):
        super().__init__()
        self.links, self.pictures, self.names, self.texts, self.sizes = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.names += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.pictures += [found[key] for key in ("src", "srcset") if key in found]
        self.sizes += [(found["width"], found["height"])] if tag == "img" else []
        self.texts += [found["alt"]] if tag == "img" else []
        assert tag not in ("script", "link", "iframe")


def stand_in(figure, ending, **how):
    """Return what tells of its rendering, with the head of a picture of 640 by 410."""
    scale = how["scale"]
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640 * scale, 410 * scale)
    head = {"png": png, "svg": b'<svg version="1.1" width="639.7" height="410.2">'}.get(ending, b"")
    return head + f"{figure.title} {how}".encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Render a small page in all ways; its pictures are stand-ins, which other tests draw."""
    topic = _small(BY_NAME["dropout"], "Network")
    folder = tmp_path_factory.mktemp("gallery") / "figures"
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "topic", lambda page: topic)
        patch.setattr(export, "render", stand_in)
        patch.setattr(gallery, "packed", lambda content: content)
        look = Look(dark=True, base="https://a.example/app/")
        count = gallery.write_all(["dropout"], folder, ["png", "csv"], look, lines.append)
    return folder, count, lines, topic


def test_the_gallery_holds_the_default_view_and_every_scenario(folder):
    folder, count, lines, _ = folder
    assert len(lines) == count
    assert {line.split("]")[0] for line in lines} == {"[1/3", "[2/3", "[3/3"}
    files = {file.name for file in folder.iterdir()}
    assert {"index.html", "index.md", "dropout-scaling.png", "dropout-scaling-dark.png"} <= files
    assert {"dropout-twins.csv", "dropout-convergence.png", "dropout-the-mask-drawn-network.png"} <= files
    assert len(files) == 3 * count + 2  # two pictures and the data of each
    assert [file.name for file in folder.parent.iterdir()] == ["figures"]
    white, dark = (folder / f"dropout-scaling{ground}.png" for ground in ("", "-dark"))
    assert b"'ground': 'white'" in white.read_bytes()
    assert b"'ground': 'dark'" in dark.read_bytes()
    assert b"'reading': '" in white.read_bytes()
    assert b"'reading': ''" not in white.read_bytes()
    assert b"'link': 'https://a.example/app/dropout'" in white.read_bytes()


def test_the_index_refers_to_its_own_files_alone(folder):
    folder, count, _, _ = folder
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert len(page.texts) == count
    view = BY_NAME["dropout"].view(BY_NAME["dropout"].fill({}))
    assert page.texts[0] == f"{view.figure.alt} {export.plain(view.reading)}"
    assert all(re.search(r"\d", text) for text in page.texts), "no reading"
    assert len(set(page.names)) == len(page.names)
    assert len(page.pictures) == 2 * count  # light, dark
    # A picture leads to its file, and so does the list of files below it.
    assert all(
        page.links.count(picture) == 2 - picture.endswith("-dark.png") * 2 for picture in page.pictures
    )
    assert set(page.sizes) == {("640", "410")}
    for link in page.links + page.pictures:
        if link.startswith("#"):
            assert link[1:] in page.names
        elif not link.startswith("https://a.example/app/dropout?drop_scenario="):
            assert (folder / link).is_file(), link


def test_the_headings_of_the_index_lead_to_the_scenarios(folder):
    folder, _, _, topic = folder
    page = (folder / "index.html").read_text(encoding="utf-8")
    text = (folder / "index.md").read_text(encoding="utf-8")
    names = [scenario.name for scenario in topic.scenarios]
    for found in (re.findall(r'<h3[^>]*><a href="([^"]+)">', page), re.findall(r"### .*\(<(.+)>\)", text)):
        queries = [parse_qs(html.unescape(link).split("?")[1]) for link in found]
        opened = [topic.parse(query) for query in queries]
        assert opened == [(topic.scenario_values(topic.scenario(name)), []) for name in names]
        assert [query.get("drop_tab", [""])[0] for query in queries] == [s.tab for s in topic.scenarios]


def test_the_index_in_markdown(folder):
    folder, count, _, topic = folder
    text = (folder / "index.md").read_text(encoding="utf-8")
    named = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    pictures = [file for _, file in named]
    assert len(pictures) == count
    assert all((folder / picture).is_file() for picture in pictures)
    assert all(f"[![{title}]({file})]({file})" in text for title, file in named)
    assert all(f"### [{scenario.name}](<" in text for scenario in topic.scenarios)


def test_the_links_and_commands_of_the_index_give_back_their_figures(folder):
    from charts.__main__ import _given, _joined, _values

    folder, count, _, topic = folder
    text = (folder / "index.md").read_text(encoding="utf-8")
    commands = re.findall(r"- Command: `(.+)`", text)
    links = re.findall(r"- Link: (\S+)", text)
    stated = re.findall(r"- Parameters: `(.+)`", text)
    assert len(commands) == len(links) == len(stated) == count
    for command, link, said in zip(commands, links, stated, strict=True):
        argv = shlex.split(command)
        assert argv[:3] == ["python", "-m", "charts"]
        told, _ = _values(topic, {}, _given(_joined(argv[4:-2]))[1])
        linked, problems = topic.parse(parse_qs(link.split("?")[1], keep_blank_values=True))
        assert not problems
        assert topic.settle(told) == topic.settle(linked)
        read = dict(part.split(" = ", 1) for part in said.split("; "))
        assert "p" in read
        assert {name: topic.knobs[name].parse(text) for name, text in read.items()} == {
            name: linked[name] for name in read
        }


@pytest.fixture
def gather(monkeypatch):
    """Return what renders the default view of a small page into a folder, with stand-ins for its pictures."""
    topic = BY_NAME["batchnorm"]
    small = replace(_small(topic, ""), scenarios=topic.scenarios[:1])
    monkeypatch.setattr(gallery, "topic", lambda page: small)
    monkeypatch.setattr(export, "render", stand_in)
    return lambda folder, tell=len: gallery.write_all(["batchnorm"], folder, ["svg"], Look(), tell)


@pytest.mark.parametrize("kind", ["new", "there", "link"])
def test_a_folder_may_be_a_file_system_of_its_own(gather, tmp_path, monkeypatch, kind):
    here, away = tmp_path / "here", tmp_path / "away"
    for each in (here, away):
        each.mkdir()
    folder = here / "figures"
    if kind == "there":
        folder.mkdir()
    elif kind == "link":
        folder.symlink_to(away)
    replaced, beside = Path.replace, []

    def replace_(self, target):
        if self.parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", replace_)
    gather(folder, lambda line: beside.extend(file.name for file in here.iterdir()))
    assert set(beside) == {"figures"}
    assert {"index.html", "index.md", "batchnorm-stream.svg"} <= {file.name for file in folder.iterdir()}
    assert not list(tmp_path.rglob(".*"))
    assert folder.is_symlink() == (kind == "link") == bool(list(away.iterdir()))


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_at_the_end_leaves_nothing_of_a_new_folder(gather, tmp_path, monkeypatch, there):
    folder = tmp_path / "figures"
    if there:
        folder.mkdir()
        (folder / "mine.txt").touch()
    replaced = Path.replace

    def full(self, target):
        if self.name == "index.md":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        gather(folder)
    assert folder.exists() == there == (folder / "mine.txt").exists()
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("ground", ["white", "dark"])
def test_one_ground_sets_that_of_the_index(tmp_path, monkeypatch, ground):
    topic = BY_NAME["batchnorm"]
    small = replace(_small(topic, ""), scenarios=topic.scenarios[:1])
    monkeypatch.setattr(gallery, "topic", lambda page: small)
    monkeypatch.setattr(export, "render", stand_in)
    gallery.write_all(["batchnorm"], tmp_path, ["svg"], Look(ground=ground, caption=False), lambda line: None)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme" not in text
    assert ("color-scheme: dark" in text) == (ground == "dark")
    assert f"'ground': '{ground}'" in (tmp_path / "batchnorm-stream.svg").read_text()
    assert set(Page(text).sizes) == {("640", "410")}
    assert not list(tmp_path.glob("*-dark.svg"))
    figure = topic.view(topic.fill({})).figure
    assert figure.caption[:40] in text.split("<details>")[0]


@pytest.mark.parametrize("opaque", [True, False])
def test_a_packed_picture_has_the_same_pixels(opaque):
    rng = np.random.default_rng(3)
    pixels = np.kron(rng.integers(0, 256, (12, 17, 4)), np.ones((9, 9, 1))).astype(np.uint8)
    pixels[..., 3] = 255 if opaque else pixels[..., 3]
    buffer, told = io.BytesIO(), PngInfo()
    told.add_itxt("Title", "A title", "en")
    told.add_itxt("Description", "σ² — ∂𝑥", "en")
    told.add_text("Source", "https://a.example/")
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1, dpi=(215.4, 215.4), pnginfo=told)
    content = gallery.packed(buffer.getvalue())
    assert content == gallery.packed(content)
    assert len(content) < len(buffer.getvalue())
    with Image.open(io.BytesIO(content)) as after, Image.open(buffer) as before:
        assert after.mode == ("RGB" if opaque else "RGBA")
        np.testing.assert_array_equal(np.asarray(after.convert("RGBA")), pixels)
        assert after.info == before.info
        assert list(after.text) == ["Title", "Description", "Source"]
        assert after.text["Description"].lang == "en"
        assert after.info["dpi"] == pytest.approx((215.4, 215.4), abs=0.02)


def test_pages_in_two_processes_are_the_same_files(tmp_path, monkeypatch):
    """A stand-in for the pool takes the pages as the pool does, last one first, by value."""

    class Pool:
        def __init__(self, count, mp_context):
            assert count == 2
            assert mp_context.get_start_method() == "spawn"

        def __enter__(self):
            return self

        def __exit__(self, *failure):
            return None

        def submit(self, function, *arguments):
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
            function, arguments = pickle.loads(pickle.dumps((function, arguments)))
            done = Future()
            done.set_result(pickle.loads(pickle.dumps(function(*arguments))))
            return done

    small = {
        page: replace(_small(BY_NAME[page], ""), scenarios=BY_NAME[page].scenarios[:1]) for page in PAGES
    }
    monkeypatch.setattr(gallery, "topic", small.get)
    monkeypatch.setattr(export, "render", stand_in)
    monkeypatch.setattr(gallery, "ProcessPoolExecutor", Pool)
    pages, made = ("batchnorm", "dropout"), []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        assert gallery.write_all(pages, folder, ["svg"], Look(), gallery.say, processes) >= len(pages)
        made.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert made[0] == made[1]
    assert made[0].keys() > {"batchnorm-stream.svg", "dropout-scaling.svg", "index.html", "index.md"}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    # A failure ends the processes that are still at work, and no others.
    ended = []
    running = [Mock(terminate=partial(ended.append, number)) for number in range(3)]
    found = iter((running[:1], running))
    monkeypatch.setattr(gallery.multiprocessing, "active_children", lambda: next(found))
    monkeypatch.setattr(Look, "render", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gallery.write_all(pages, tmp_path / "failed", ["svg"], Look(), gallery.say, 2)
    assert sorted(ended) == [1, 2]


def test_an_address_is_what_the_page_copies():
    topic = BY_NAME["dropout"]
    values = topic.fill({"p": 0.3})
    query = urlencode({**topic.query(values), "drop_tab": "Depth"}, doseq=True)
    assert address(topic, values, "Depth", "https://a.example/") == f"https://a.example/dropout?{query}"
