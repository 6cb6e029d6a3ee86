import numpy as np
import pytest
from matplotlib.backend_bases import MouseEvent, NavigationToolbar2

from headscape.draw.figure import draw_figure
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.trace.synthetic import example_trace


def click(figure, x, y):
    canvas = figure.canvas
    for name in ("button_press_event", "button_release_event"):
        canvas.callbacks.process(name, MouseEvent(name, canvas, x, y, 1))
    canvas.draw()


@pytest.fixture
def figure(on_agg):
    return on_agg(draw_figure(example_trace(layers=2), prune=("top_k", {"k": 1})))


def note(figure):
    return figure.picker.note.get_text() if figure.picker.note.get_visible() else None


def test_a_click_on_a_node_tells_its_token_and_attention(figure):
    scene, axes = figure.picker.scene, figure.picker.axes
    node = 5
    click(figure, *axes.pixels(scene.at[node])[0])
    words = note(figure)
    assert words.startswith(f"{scene.graph.nodes.label[node]} [5]\ntokens, plane 0 of 0 to 2")
    assert f"gets {scene.graph.nodes.received[node]:.2f} rows" in words
    assert "strongest drawn, both directions:" in words
    e = scene.graph.edges
    mine = (e.kind == EdgeKind.ATTENTION) & ((e.source == node) | (e.target == node))
    assert f"{e.mass[mine].max():.3f}" in words
    assert figure.picker.mark.get_visible()
    np.testing.assert_allclose(np.ravel(figure.picker.mark.get_data_3d()), scene.at[node])


def test_a_click_on_a_class_tells_its_score_and_largest_parts(figure):
    scene = figure.picker.scene
    (best, *_) = scene.classes()
    click(figure, *figure.picker.axes.pixels(scene.at[best])[0])
    assert f"score {scene.graph.nodes.score[best]:.3f}" in note(figure)
    assert f"no token adds {scene.graph.nodes.base[best]:+.3f}" in note(figure)
    edges = scene.graph.edges
    parts = edges.weight[(edges.kind == EdgeKind.CLASS) & (edges.target == best)]
    assert f"{parts[np.abs(parts).argmax()]:+.3f}" in note(figure)


def lone_point(figure, kind):
    """Return an edge of a kind and a pixel on it that no node and no other edge is near."""
    picker = figure.picker
    edges = picker.scene.graph.edges
    curves = picker.axes.pixels(picker.drawn.curve.reshape(-1, 3)).reshape(len(picker.drawn.curve), -1, 2)
    nodes = picker.axes.pixels(picker.scene.at[picker.scene.drawn])
    for place in np.flatnonzero(edges.kind[picker.drawn.number] == kind):
        for point in (curves[place][1:] + curves[place][:-1]) / 2:
            others = np.delete(curves, place, axis=0)
            middles = np.concatenate(
                [others.reshape(-1, 2), ((others[:, 1:] + others[:, :-1]) / 2).reshape(-1, 2)]
            )
            if (
                np.linalg.norm(nodes - point, axis=1).min() > 14
                and np.linalg.norm(middles - point, axis=1).min() > 14
            ):
                return int(picker.drawn.number[place]), point
    raise AssertionError("no edge stands alone; make the figure larger")


@pytest.mark.parametrize("kind", [EdgeKind.ATTENTION, EdgeKind.RESIDUAL, EdgeKind.CLASS])
def test_a_click_on_an_edge_tells_what_it_is(on_agg, kind):
    figure = on_agg(
        draw_figure(example_trace(layers=1, heads=1, tokens=list("abcd")), prune=("top_k", {"k": 1}))
    )
    edge, point = lone_point(figure, kind)
    click(figure, *point)
    e, nodes = figure.picker.scene.graph.edges, figure.picker.scene.graph.nodes
    words = note(figure)
    source, target = nodes.label[e.source[edge]], nodes.label[e.target[edge]]
    if kind == EdgeKind.ATTENTION:
        assert words.startswith(
            f"{source} [{e.query[edge]}] attends to {target} [{e.key[edge]}]\nlayer 0   head 0"
        )
        assert f"weight {e.weight[edge]:.4f}   back {e.reverse[edge]:.4f}" in words
        assert f"{e.lift[edge]:.2f} x uniform   rank {e.rank[edge]}" in words
        assert f"adds {e.contribution[edge]:.4f}" in words
    elif kind == EdgeKind.RESIDUAL:
        assert (
            words
            == f"residual of {source} [{e.query[edge]}]\nlayer 0   {e.weight[edge]:.1%} of what meets here"
        )
    else:
        verb = "raises" if e.weight[edge] >= 0 else "lowers"
        assert words == f"{source} [{e.key[edge]}] {verb} {target}\nby {abs(e.weight[edge]):.4f}  (exact)"
    assert figure.picker.mark.get_data_3d()[0].size > 2


def test_a_drag_that_ends_on_a_node_rotates_and_picks_nothing(figure):
    axes, canvas = figure.picker.axes, figure.canvas
    before = axes.azim

    def at_node(name, **buttons):
        x, y = axes.pixels(figure.picker.scene.at[5])[0]
        canvas.callbacks.process(name, MouseEvent(name, canvas, x, y, 1, **buttons))

    canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, 600, 300, 1))
    at_node("motion_notify_event", buttons=[1])
    at_node("button_release_event")
    assert axes.azim != before
    assert note(figure) is None


def test_picking_works_after_rotation(figure):
    figure.picker.axes.view_init(elev=40, azim=-20)
    figure.canvas.draw()
    click(figure, *figure.picker.axes.pixels(figure.picker.scene.at[2])[0])
    nodes = figure.picker.scene.graph.nodes
    near = figure.picker.axes.pixels(figure.picker.scene.at[nodes.kind == NodeKind.TOKEN])
    assert np.linalg.norm(near - near[2], axis=1)[np.arange(len(near)) != 2].min() > 1
    assert note(figure).startswith(f"{nodes.label[2]} [2]")


def test_a_click_on_nothing_clears(figure):
    axes, scene = figure.picker.axes, figure.picker.scene
    click(figure, *axes.pixels(scene.at[5])[0])
    assert note(figure)
    click(figure, 1275, 400)
    assert note(figure) is None
    assert not figure.picker.mark.get_visible()


def test_a_click_while_a_toolbar_tool_is_chosen_picks_nothing(figure):
    NavigationToolbar2(figure.canvas).pan()
    click(figure, *figure.picker.axes.pixels(figure.picker.scene.at[5])[0])
    assert note(figure) is None


def test_picked_text_is_never_mathematics(on_agg):
    figure = on_agg(draw_figure(example_trace(layers=1, tokens=["$x", "$y", "\0" * 99])))
    for node in range(3):
        click(figure, *figure.picker.axes.pixels(figure.picker.scene.at[node])[0])
        assert note(figure)
    assert not figure.picker.note.get_parse_math()
