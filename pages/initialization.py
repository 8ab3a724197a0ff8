from charts.initialization import TOPIC
from ui.page import show

show(TOPIC)
