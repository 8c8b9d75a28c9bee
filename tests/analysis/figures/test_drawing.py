"""`illegible`, which looks at texts, finds what can't be read."""

from matplotlib.figure import Figure

from tests.analysis.figures.drawing import illegible, shown_texts


def test_texts_that_overlap_or_are_cut_off_are_named() -> None:
    figure = Figure(figsize=(3, 2))
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7), xlim=(0, 1), ylim=(0, 1))
    axes.set_xticks([0.1, 0.12], ["one", "two"])
    axes.set_yticks([])
    axes.text(0.95, 0.5, "far to the right")
    assert illegible(figure) == [
        "'far to the right' is cut off",
        "'one' overlaps 'two'",
        "something is cut off",
    ]


def test_ticks_beyond_the_ends_are_not_seen() -> None:
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1))
    axes.set_xticks([0.5, 7.0], ["inside", "outside"])
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    assert not illegible(figure)
    assert [text.get_text() for text in shown_texts(figure)] == ["inside"]
