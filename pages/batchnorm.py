from charts.batchnorm import TOPIC
from ui.page import show

show(TOPIC)
