from charts.activations import TOPIC
from ui.page import show

show(TOPIC)
