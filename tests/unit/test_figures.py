"""Figures of a page are part of its HTML, and say nothing that it would run."""

from xml.etree import ElementTree

from pisft.report.figures import traces


def test_a_tasks_words_are_words_and_no_markup():
    task = 'press the "A" key" onload="alert(1)'
    content = traces([{"task": task, "dims": ["x"], "recorded": [[0.0], [1.0]], "predicted": [[0.0], [0.5]]}])
    figure = ElementTree.fromstring(content)
    assert figure.get("aria-label").endswith(task) and figure.get("onload") is None
