"""Predict first: the figure waits for an answer, what was missed is said, progress is kept and travels in a link."""

from urllib.parse import parse_qs

import pytest

from charts import predictions
from tests.charts.topics import BY_NAME, TOPICS
from tests.pages.app import charts, link, press, start, texts, toolbars, visit

every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
DROP = BY_NAME["dropout"]
FIRST, SECOND = predictions.offered(DROP)[:2]
ON = {"predict": "first"}


def said(at):
    return " ".join(texts(at))


def address(at, name):
    """Return the values of a parameter, which AppTest holds as one text if there is one."""
    found = at.query_params.get(name, [])
    return [found] if isinstance(found, str) else list(found)


def answer(at, asked, number):
    (button,) = [b for b in at.button if b.key == f"_predict_{asked.id}_{number}"]
    return button.click().run()


def onward(at):
    (button,) = [b for b in at.button if b.key == "_predict_next"]
    return button.click().run()


@every_topic
def test_the_first_question_of_a_page_is_about_its_default_view(topic):
    asked = predictions.offered(topic)[0]
    assert predictions.matching(topic, topic.settle(topic.defaults()))[0] == asked
    at = visit(topic, ON)
    assert not at.exception
    assert not charts(at)
    assert predictions.question(topic, asked) in said(at)
    assert [b.label for b in at.button if b.key.startswith(f"_predict_{asked.id}_")][:-1] == list(
        asked.answers
    )
    at = answer(at, asked, asked.answer)
    assert not at.exception
    assert charts(at)
    assert topic.predictions[asked.id](topic.defaults()).said[asked.answer] in said(at)
    assert "as you predicted" in said(at)


def test_without_the_switch_nothing_is_asked():
    at = visit(DROP)
    assert charts(at)
    assert "predict" not in link(at)
    assert predictions.question(DROP, FIRST) in said(at)  # as the scenario's line has it
    assert not [b for b in at.button if b.key.startswith("_predict")]


def test_the_switch_hides_the_figure_and_brings_it_back():
    at = visit(DROP)
    (switch,) = [w for w in at.toggle if w.key == "_predict_switch"]
    at = switch.set_value(True).run()
    assert not charts(at)
    assert address(at, "predict") == ["first"]
    (switch,) = [w for w in at.toggle if w.key == "_predict_switch"]
    at = switch.set_value(False).run()
    assert charts(at)
    assert not address(at, "predict")


def test_a_wrong_answer_is_told_what_it_missed():
    wrong = next(n for n in range(len(FIRST.answers)) if n != FIRST.answer)
    at = answer(visit(DROP, ON), FIRST, wrong)
    outcome = DROP.predictions[FIRST.id](DROP.defaults())
    assert outcome.said[wrong] in said(at)
    assert FIRST.answers[FIRST.answer] in said(at)
    assert predictions.standing(DROP, {FIRST.id: wrong}, {FIRST.id: False}) in said(at)


def test_questions_follow_each_other_and_can_be_asked_again():
    at = visit(DROP, ON)
    for asked in predictions.offered(DROP):
        assert predictions.question(DROP, asked) in said(at), asked.id
        assert not charts(at)
        at = answer(at, asked, asked.answer)
        assert not at.exception
        assert charts(at)
        assert DROP.predictions[asked.id](predictions.values(DROP, asked)).said[asked.answer] in said(at)
        if asked != predictions.offered(DROP)[-1]:
            at = onward(at)
    assert not [b for b in at.button if b.key == "_predict_next"]
    at = press(at, "Ask me again")
    assert not charts(at)


def test_a_view_without_a_question_is_shown():
    at = visit(DROP, {**ON, "drop_p": "0.31"})
    assert charts(at)
    at = onward(at)
    assert not charts(at)
    assert predictions.question(DROP, FIRST) in said(at)


def test_progress_is_kept_from_page_to_page_and_travels_in_the_link():
    at = answer(visit(DROP, ON), FIRST, 1)
    assert not address(at, "progress")
    (keeper,) = [w for w in at.checkbox if w.key == "_predict_keeper"]
    at = keeper.check().run()
    written = address(at, "progress")
    assert written == predictions.write({DROP.name: {FIRST.id: 1}})
    copied = parse_qs(toolbars(at)[0]["link"].split("?", 1)[1])
    assert copied["progress"] == written
    assert copied["predict"] == ["first"]
    other = visit(DROP, {**ON, "progress": written})
    assert charts(other)
    assert FIRST.answers[1] in said(other)
    away = at.switch_page("pages/batchnorm.py").run()
    assert not charts(away)
    back = away.switch_page("pages/dropout.py").run()
    assert charts(back)


def test_what_a_link_gets_wrong_is_said_and_the_rest_used():
    at = visit(DROP, {"progress": [f"dropout:{FIRST.id}.1,nothing.1,{SECOND.id}.9", "music:a.1", "%s{0}"]})
    assert not at.exception
    assert "nothing.1" in said(at)
    assert "needs an answer from 1" in said(at)
    assert "music" in said(at)
    assert FIRST.answers[0] in said(at)
    at = visit(DROP, {"predict": "<script>"})
    assert charts(at)
    assert "needs first" in said(at)


def test_hidden_text_hides_no_figure():
    assert charts(visit(DROP, {**ON, "hide": "text"}))


def test_the_landing_page_knows_nothing_of_it():
    assert not start(ON).run().exception
