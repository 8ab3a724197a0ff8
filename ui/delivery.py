"""Files on their way to a visitor: made beside the page's runs, so that a control that is moved meanwhile loses none."""

import base64
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from ui.squeeze import squeezed

_KEY = "_deliveries"
_AGAIN = 2.0  # seconds in which a run may still take away what the one before has sent
_LOOK = 0.03  # seconds between looks at what is being made

_LOG = logging.getLogger(__name__)


@dataclass
class Delivery:
    """A file that was ordered: by which toolbar, under the ``number`` the browser gave it, and what became of it."""

    toolbar: str
    number: int
    done: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] = field(default_factory=dict)
    sent: float = 0.0

    def make(self, name: str, mime: str, content: Callable[[], bytes]) -> None:
        """Make the file; what prevents it is said to the visitor."""
        from ui.files import Busy, Failed

        try:
            self.answer = {"name": name, "mime": mime, "content": base64.b64encode(content()).decode()}
        except (Busy, Failed) as refusal:
            self.answer = {"problem": str(refusal)}
        except Exception:
            _LOG.exception("%s", name)
            self.answer = {"problem": "The file could not be made."}
        finally:
            self.done.set()


def refuse(toolbar: str, number: int, problem: str) -> None:
    """Answer an order with the reason why there is no file."""
    delivery = Delivery(toolbar, number, answer={"problem": problem})
    delivery.done.set()
    _pending().append(delivery)


def order(toolbar: str, number: int, name: str, mime: str, content: Callable[[], bytes]) -> None:
    """Begin to make a file; ``deliver`` hands it over. A visitor has one file made at a time.

    Args:
        toolbar: that asked for it.
        number: by which the browser knows the order.
        name: of the file.
        mime: its type.
        content: makes it, in a thread of its own, without Streamlit.
    """
    pending = _pending()
    if any(not delivery.done.is_set() for delivery in pending):
        refuse(toolbar, number, "Another file is still being made.")
        return
    # A toolbar asks again only when it has the last answer: that one would be sent once more with this.
    pending[:] = [each for each in pending if not (each.sent and each.toolbar == toolbar)]
    delivery = Delivery(toolbar, number)
    pending.append(delivery)
    threading.Thread(target=delivery.make, args=(name, mime, content), daemon=True).start()


def deliver() -> None:
    """Hand over what has been ordered, waiting for what is still being made. Call it last in a run.

    A control that is moved ends the wait; the run that follows goes on with it. Without an order there is nothing: the
    browser remembers what it has taken, however often the component comes and goes.
    """
    pending = _pending()
    now = time.monotonic()
    pending[:] = [each for each in pending if not each.sent or now - each.sent < _AGAIN]
    for delivery in list(pending):
        while not delivery.done.wait(_LOOK):
            _KEY in st.session_state  # noqa: B015, where Streamlit ends a run that another one replaces
    if not pending:
        return
    answers = tuple(
        {"toolbar": each.toolbar, "number": each.number, **each.answer}
        for each in pending
        if each.done.is_set()
    )
    _component(key="_delivery", data={"answers": answers})
    for delivery in pending:
        delivery.sent = delivery.sent or time.monotonic()


def _pending() -> list[Delivery]:
    """Return the visitor's orders, a list that is changed in place."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = []
    pending: list[Delivery] = st.session_state[_KEY]
    return pending


# A file comes in the data of a component: the page never has to leave for it. What comes twice is taken once.
_SCRIPT = """
function save(answer) {
  const bytes = Uint8Array.from(atob(answer.content), (letter) => letter.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: answer.mime }));
  const anchor = document.createElement('a');
  anchor.href = url; anchor.download = answer.name;
  document.body.append(anchor); anchor.click(); anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export default function ({ data }) {
  const seen = window.layerwiseDelivered ??= new Set();
  for (const answer of data.answers) {
    const id = answer.toolbar + ' ' + answer.number;
    if (seen.has(id)) continue;
    seen.add(id);
    if (!answer.problem) save(answer);
    window.layerwiseToolbars?.[answer.toolbar]?.(answer);
  }
}
"""

_component = st.components.v2.component("layerwise_delivery", js=squeezed(_SCRIPT))
