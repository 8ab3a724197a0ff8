"""A specification that says everything once is the same chart to Vega."""

import copy
import json

import pytest
import vl_convert

from charts import activations, batchnorm, dropout, initialization, optimizers
from charts.once import once
from tests.charts.topics import WIDE_AND_NARROW

VERSION = "6.4"

MODULES = (activations, batchnorm, dropout, initialization, optimizers)


def compiled(spec):
    return vl_convert.vegalite_to_vega(spec, vl_version=VERSION)


def built(module, width):
    """Build the specification of a page's main figure anew, and leave none behind."""
    builds = [each for name, each in vars(module).items() if "_spec" in name and hasattr(each, "cache_clear")]
    try:
        for build in builds:
            build.cache_clear()
        return module.TOPIC.glance(module.TOPIC.defaults()).figure.build(width)
    finally:
        for build in builds:
            build.cache_clear()


@pytest.mark.parametrize("width", WIDE_AND_NARROW)
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_is_left_out_of_a_main_figure_is_not_missed(module, width, monkeypatch):
    short = built(module, width)
    monkeypatch.setattr(module, "once", lambda spec: spec)
    long = built(module, width)
    assert compiled(short) == compiled(long)
    assert len(json.dumps(short)) < len(json.dumps(long))
    assert once(copy.deepcopy(short)) == short


def unit(channel="y", **said):
    return {"mark": "point", "encoding": {channel: {"field": "a", "type": "quantitative", **said}}}


def said(spec):
    """Return what each unit says of its channel beside field and type, in order."""
    parts = [part for key in ("layer", "hconcat") for part in spec.get(key, ())]
    if parts:
        return [found for part in parts for found in said(part)]
    (definition,) = spec["encoding"].values()
    return [{name for name in definition if name not in ("field", "type")}]


SCALE = {"scale": {"zero": False}}


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ({"layer": [unit(**SCALE), unit(**SCALE)]}, [{"scale"}, set()]),
        ({"layer": [unit(**SCALE), unit(scale={"zero": True})]}, [{"scale"}, {"scale"}]),
        ({"layer": [unit(**SCALE), unit("x", **SCALE)]}, [{"scale"}, {"scale"}]),
        ({"layer": [unit(), unit(**SCALE), unit(**SCALE)]}, [set(), {"scale"}, set()]),
        ({"layer": [{"layer": [unit(**SCALE)]}, unit(**SCALE)]}, [{"scale"}, set()]),
        (
            {"layer": [unit(**SCALE), unit(**SCALE)], "resolve": {"scale": {"y": "independent"}}},
            [{"scale"}, {"scale"}],
        ),
        ({"hconcat": [unit(**SCALE), unit(**SCALE)]}, [{"scale"}, {"scale"}]),
        (
            {"hconcat": [unit("color", **SCALE), unit("color", **SCALE)], "resolve": {"scale": {"color": "shared"}}},
            [{"scale"}, set()],
        ),
        ({"layer": [unit(title="b"), unit(title="b")]}, [{"title"}, {"title"}]),  # read out with the marks
        ({"layer": [unit(title=None), unit(title=None)]}, [{"title"}, set()]),
    ],
)  # fmt: skip
def test_only_layers_that_share_a_scale_leave_something_out(spec, left):
    assert said(once(spec)) == left
