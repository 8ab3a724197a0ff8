from charts.optimizers import TOPIC
from ui.page import show

show(TOPIC)
