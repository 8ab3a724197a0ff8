"""Search over everything: an entry for each thing of the app that has a name, with the link to a view that shows it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from charts import predictions
from charts.export import plain
from charts.notes import notes
from charts.topic import NOTES, Topic, Values
from core.activations import ACTIVATIONS
from core.initializers import INITIALIZERS
from core.knobs import KnobError
from core.normalizers import NORMALIZERS
from core.optimizers import OPTIMIZERS
from core.second_order import REFERENCES
from core.surfaces import SURFACES
from core.vector_activations import VECTOR_ACTIVATIONS

Query = dict[str, str | list[str]]

# What can be found; of what fits a search equally well, the earlier kind comes first.
KINDS = (
    *("page", "activation", "initializer", "optimizer", "surface", "normalizer"),
    *("scenario", "symptom", "tab", "question", "prediction", "claim", "erratum"),
)


class Entry(NamedTuple):
    """One thing that can be found: of which kind, its title, its page, the link's parameters, other words to find it by."""

    kind: str
    title: str
    page: str
    query: Mapping[str, str | list[str]]
    words: str = ""


class Place(NamedTuple):
    """A page without a topic: its name in the address, its title, and other words to find it by."""

    name: str
    title: str
    words: str = ""


class Menu(NamedTuple):
    """A control whose choices are found by name: their kind, the page, the knob, the tab it stands in, their registry.

    ``among`` are choices of the knob that count, all if it is empty; a control that takes several choices shows the
    one that was found beside ``beside``.
    """

    kind: str
    page: str
    knob: str
    registry: Mapping[str, Any]
    tab: str = ""
    beside: str = ""
    among: frozenset[str] = frozenset()

    def view(self, name: str, topic: Topic) -> dict[str, Any]:
        """Return the values that show one of the choices."""
        several = topic.knobs[self.knob].kind == "choices"
        both = (name, self.beside) if self.beside not in ("", name) else (name,)
        return {self.knob: both if several else name}


MENUS = (
    Menu("activation", "activations", "functions", ACTIVATIONS),
    Menu("activation", "activations", "compare", VECTOR_ACTIVATIONS, "Compare", among=frozenset(VECTOR_ACTIVATIONS)),
    Menu("initializer", "initialization", "schemes", INITIALIZERS, beside="He normal"),
    Menu("optimizer", "optimizers", "optimizers", {**OPTIMIZERS, **REFERENCES}, beside="GD"),
    Menu("surface", "optimizers", "surface", SURFACES),
    Menu("normalizer", "batchnorm", "family_norm", NORMALIZERS, "Family"),
)  # fmt: skip


class Way(NamedTuple):
    """A way into a page: to a scenario, or to the default view with a tab open."""

    says: str
    page: str
    scenario: str = ""
    tab: str = ""


# What a training run shows when something is wrong, and the view in which the same goes wrong on purpose.
SYMPTOMS = (
    Way("The loss becomes NaN or infinite after some steps.", "optimizers", "Momentum overflows"),
    Way("The loss stays at ln C, as if the network guessed.", "initialization", tab="Train"),
    Way("Training looks fine, and evaluation is far off.", "batchnorm", "Keras defaults"),
    Way("Answers change with what else is in the batch.", "batchnorm", "Forgotten eval()"),
    Way("Evaluation is on another scale than training.", "dropout", "Half dropped"),
    Way("Gradients of the first layers are nearly 0.", "initialization", "Sigmoid loses its gradient"),
    Way("Some units give 0 for every input.", "activations", "Units that die"),
    Way("The loss stops falling and keeps jumping about.", "optimizers", "Mini-batches"),
)

# First things first: a slope, slopes through layers, a rate, a batch, a mask. Each view asks its question first.
PATH = (
    Way("Why do sigmoids fade?", "activations", "Slopes decide"),
    Way("What is left after many layers?", "initialization", "Glorot with ReLU"),
    Way("What if the rate is too large?", "optimizers", "Past the limit"),
    Way("What is left of a batch of one?", "batchnorm", "Batch size 1"),
    Way("Where does dropout scale?", "dropout", "Half dropped"),
)


def link(topic: Topic, values: Values, tab: str = "") -> Query:
    """Write the parameters of a link to a view of a topic.

    It is never empty: without a parameter of its own a page shows what the visitor left there.
    """
    return topic.brief(values, tab) or to_scenario(topic, topic.scenarios[0].name)


def to_scenario(topic: Topic, name: str) -> Query:
    """Write the parameters of a link to a scenario, with the tab that it is about.

    Raises:
        KeyError: the topic has no such scenario, nor had.
    """
    scenario = topic.scenario(name)
    if scenario is None:
        raise KeyError(f"{topic.name} has no scenario {name}")
    tab = {topic.key("tab"): scenario.tab} if scenario.tab else {}
    return {topic.key("scenario"): scenario.name, **tab}


def follow(way: Way, topic: Topic) -> Query:
    """Write the parameters of a link along a way into its page."""
    return to_scenario(topic, way.scenario) if way.scenario else link(topic, topic.defaults(), way.tab)


def step(way: Way, topic: Topic) -> Query:
    """Write the parameters of a link along a way into its page, where the question comes before the figure."""
    return {**follow(way, topic), **predictions.ASK}


@lru_cache(maxsize=4)
def index(topics: tuple[Topic, ...], places: tuple[Place, ...] = ()) -> tuple[Entry, ...]:
    """Return what can be found on some pages, in the order of the kinds.

    Args:
        topics: of the pages, whose parts are found too.
        places: pages that are found by their names alone.
    """
    found = chain.from_iterable(_of(topic) for topic in topics)
    others = (Entry("page", place.title, place.name, {}, place.words) for place in places)
    return tuple(sorted((*found, *others), key=lambda entry: KINDS.index(entry.kind)))


def _of(topic: Topic) -> Iterator[Entry]:
    """Yield what can be found on one page."""
    page = topic.name
    yield Entry("page", topic.title, page, to_scenario(topic, topic.scenarios[0].name), topic.question)
    for menu in MENUS:
        if menu.page == page:
            yield from _choices(menu, topic)
    for scenario in topic.scenarios:
        words = " ".join((scenario.question, *scenario.aliases))
        yield Entry("scenario", scenario.name, page, to_scenario(topic, scenario.name), words)
    for way in SYMPTOMS:
        if way.page == page:
            yield Entry("symptom", way.says, page, follow(way, topic))
    former = {today: alias for alias, today in topic.tab_aliases.items()}
    for tab in topic.tab_names:
        yield Entry("tab", tab, page, link(topic, topic.defaults(), tab), former.get(tab, ""))
    yield from _noted(topic)


def _choices(menu: Menu, topic: Topic) -> Iterator[Entry]:
    knob = topic.knobs[menu.knob]
    others: dict[str, list[str]] = {}
    for alias, name in knob.aliases.items():
        others.setdefault(name, []).append(alias)
    for name in knob.choices:
        if menu.among and name not in menu.among:
            continue
        source = str(getattr(menu.registry.get(name), "source", ""))
        words = " ".join((*others.get(name, ()), plain(source)))
        yield Entry(
            menu.kind, name, topic.name, link(topic, topic.fill(menu.view(name, topic)), menu.tab), words
        )


def _noted(topic: Topic) -> Iterator[Entry]:
    """Yield what the notes say and ask about a topic, as far as the topic can show it."""
    page, said = topic.name, notes(topic.name)
    for question in said.questions:
        scenario = topic.scenario(question.scenario) if question.scenario else None
        if scenario is not None:
            query = to_scenario(topic, scenario.name)
        else:
            query = _shown(topic, question.view, question.tab)
        yield Entry("question", plain(question.question), page, query, question.id)
    for asked in predictions.offered(topic):
        query = {
            **link(topic, predictions.values(topic, asked), predictions.tab(topic, asked)),
            **predictions.ASK,
        }
        yield Entry("prediction", plain(predictions.question(topic, asked)), page, query, asked.id)
    for kind, claims in (("claim", said.claims), ("erratum", said.errata)):
        for claim in claims:
            yield Entry(kind, plain(claim.says), page, _shown(topic, claim.view, claim.tab), claim.id)


def _shown(topic: Topic, view: Values, tab: str) -> Query:
    """Write the link to what shows a sentence; to the notes of the page where nothing does, or a host has less of it."""
    try:
        for name, value in view.items():
            topic.knobs[name].check(value)
    except KnobError:
        return link(topic, topic.defaults(), NOTES)
    return link(topic, topic.fill(view), tab or ("" if view else NOTES))


def packed(entries: Sequence[Entry], pages: Sequence[Topic | Place]) -> dict[str, Any]:
    """Write an index in few bytes, for the browser.

    Returns:
        ``kinds``; ``pages``, each with name and title; ``names`` of parameters; ``entries``, each with the number of its
        kind, that of its page, its title, its parameters and its other words. The parameters are numbers of names, each
        followed by its value, or the number of an earlier entry that has the same; a title may be the number of an
        earlier entry that has it for its words.
    """
    place = {page.name: number for number, page in enumerate(pages)}
    names: dict[str, int] = {}
    queries: dict[str, int] = {}
    spoken: dict[tuple[str, str], int] = {}
    written: list[list[Any]] = []
    for number, entry in enumerate(entries):
        flat: list[Any] = []
        for name, value in entry.query.items():
            flat += [names.setdefault(name, len(names)), value]
        same = queries.setdefault(f"{entry.page} {flat}", number)
        title = spoken.get((entry.page, entry.title), entry.title)
        if entry.words:
            spoken.setdefault((entry.page, entry.words), number)
        query = same if same < number else flat
        words = [entry.words] if entry.words else []
        written.append([KINDS.index(entry.kind), place[entry.page], title, query, *words])
    return {
        "kinds": KINDS,
        "pages": tuple((page.name, page.title) for page in pages),
        "names": tuple(names),
        "entries": tuple(written),
    }
