"""Predict first: which question a view asks, and progress through the questions as text."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from charts.notes import Prediction, notes
from charts.topic import LEARNING, Topic, Values
from core.knobs import KnobError, Value, quote

ASK: Mapping[str, str] = {LEARNING[0]: "first"}  # as parameters of a link: asks before it shows a figure
SEEN = -1  # in place of an answer: the figure was looked at without one

Answers = Mapping[str, Mapping[str, int]]  # by page and prediction, the number of the answer given

_MOST = 8_000  # characters of progress that are read from a link


@lru_cache(maxsize=32)
def offered(topic: Topic) -> tuple[Prediction, ...]:
    """Return the predictions of a page that it can show; a host's limits may leave some of them out."""
    return tuple(
        each for each in notes(topic.name).predictions if each.id in topic.predictions and _shown(topic, each)
    )


def _shown(topic: Topic, asked: Prediction) -> bool:
    if asked.scenario:
        return topic.scenario(asked.scenario) is not None
    try:
        for name, value in asked.view.items():
            topic.knobs[name].check(value)
    except KnobError:
        return False
    return True


def values(topic: Topic, asked: Prediction) -> dict[str, Value]:
    """Return every knob's value in the view that a prediction is about."""
    scenario = topic.scenario(asked.scenario) if asked.scenario else None
    return topic.fill(asked.view) if scenario is None else topic.scenario_values(scenario)


def question(topic: Topic, asked: Prediction) -> str:
    """Return what is asked: a scenario's question, or the prediction's own."""
    scenario = topic.scenario(asked.scenario) if asked.scenario else None
    return asked.question if scenario is None else scenario.question


def tab(topic: Topic, asked: Prediction) -> str:
    """Name the tab that shows the answer, if it is not the main figure."""
    scenario = topic.scenario(asked.scenario) if asked.scenario else None
    return asked.tab if scenario is None else scenario.tab


@lru_cache(maxsize=256)
def _marks(topic: Topic, number: int) -> tuple[tuple[str, Value], ...]:
    """Return the values that a prediction's view is known by: all but the free ones that it does not set.

    Where a tab shows the answer, what is free elsewhere (the controls of tabs) decides it: only seeds stay free there.
    """
    asked = offered(topic)[number]
    scenario = topic.scenario(asked.scenario) if asked.scenario else None
    given = asked.view if scenario is None else scenario.values
    free = [name for name in topic.free if not tab(topic, asked) or name.endswith("seed")]
    settled = topic.settle(values(topic, asked))
    return tuple((name, value) for name, value in settled.items() if name not in free or name in given)


def matching(topic: Topic, shown: Values) -> tuple[Prediction, ...]:
    """Return the predictions about a view, by its settled values; those of a scenario first."""
    found = [
        each
        for number, each in enumerate(offered(topic))
        if all(shown[name] == value for name, value in _marks(topic, number))
    ]
    return tuple(sorted(found, key=lambda each: not each.scenario))


def standing(topic: Topic, given: Mapping[str, int], judged: Mapping[str, bool]) -> str:
    """Count the questions of a page that were seen, and those answered as measured.

    Args:
        topic: of the page.
        given: the answers by prediction.
        judged: what their runs said of them; without a run the declared answer counts.
    """
    asked = offered(topic)
    seen = [each for each in asked if each.id in given]
    right = sum(judged.get(each.id, given[each.id] == each.answer) for each in seen)
    return f"{len(seen)} of {len(asked)} questions seen, {right} as predicted"


def write(answers: Answers) -> list[str]:
    """Write progress as the values of a link's parameter: a page, a colon, predictions with their answers from 1 on.

    A prediction whose figure was looked at without an answer has 0.
    """
    return [
        f"{page}:{','.join(f'{name}.{answer + 1}' for name, answer in given.items())}"
        for page, given in answers.items()
        if given
    ]


def read(texts: Sequence[str], topics: Mapping[str, Topic]) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Read progress from a link.

    Args:
        texts: what ``write`` wrote, or anything else.
        topics: the pages by name.

    Returns:
        the answers by page and prediction, and one line for each part that could not be used.
    """
    answers: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    if sum(map(len, texts)) > _MOST:
        return {}, [f"progress: needs at most {_MOST} characters"]
    for text in texts:
        page, _, given = text.partition(":")
        if page not in topics:
            problems.append(f"progress = {quote(page)}: needs a page of {', '.join(topics)}")
            continue
        known = {each.id: len(each.answers) for each in offered(topics[page])}
        for part in given.split(","):
            name, _, number = part.partition(".")
            if name not in known:
                problems.append(f"progress = {quote(part)}: the page asks no such question")
            elif number not in map(str, range(known[name] + 1)):
                problems.append(
                    f"progress = {quote(part)}: needs an answer from 1 to {known[name]}, or 0 for none"
                )
            else:
                answers.setdefault(page, {})[name] = int(number) - 1
    return answers, problems
