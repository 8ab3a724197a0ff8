from charts.dropout import TOPIC
from ui.page import show

show(TOPIC)
