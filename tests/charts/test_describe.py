"""Functions named with their settings."""

import pytest

from charts.describe import defaults, described
from core.activations import ACTIVATIONS


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("ReLU", {}, "ReLU"),
        ("leaky ReLU", {"slope": 0.2}, "leaky ReLU (a 0.2)"),
        ("leaky ReLU", {"slope": -0.012345678}, "leaky ReLU (a −0.0123457)"),
        ("SELU", {}, "SELU"),
    ],
)
def test_a_function_with_its_settings(name, settings, text):
    assert described(name, settings) == text


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_defaults_are_what_a_function_takes_by_itself(name):
    entry = ACTIVATIONS[name]
    settings = defaults(entry)
    assert set(settings) == {knob.name for knob in entry.knobs}
    assert entry.f(-0.7, **settings) == entry.f(-0.7)
    text = described(name, settings)
    assert text.startswith(name)
    assert text.removeprefix(name).count(",") == max(len(settings) - 1, 0)


def test_a_setting_that_is_missing_is_an_error():
    with pytest.raises(KeyError):
        described("leaky ReLU", {})
