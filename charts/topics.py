"""All topics of the app, by name, in the order of the menu."""

from collections.abc import Mapping

from charts import activations, batchnorm, dropout, initialization, optimizers
from charts.topic import Topic

TOPICS: Mapping[str, Topic] = {
    topic.TOPIC.name: topic.TOPIC for topic in (activations, initialization, batchnorm, dropout, optimizers)
}
