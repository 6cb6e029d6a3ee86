import io
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from headscape.draw.edges import WIDTHS
from headscape.draw.figure import draw_figure
from headscape.draw.pick import describe_node
from headscape.draw.theme import DARK, LIGHT, fade, oklab
from headscape.errors import NotKeptError, OptionError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.trace.synthetic import example_trace


def segments(figure, find_artists, kind):
    """Return ends, widths and colours of all edges of one kind."""
    parts = find_artists(figure, f"edges-{kind}").values()
    ends = np.concatenate([np.asarray(p._segments3d)[:, [0, -1]] for p in parts])
    widths = np.concatenate([np.asarray(p.get_linewidths()) for p in parts])
    colours = np.concatenate([np.asarray(p.get_colors()) for p in parts])
    return ends, widths, colours


def test_says_what_it_shows_in_the_words_of_the_graph(on_agg, drawn_texts):
    trace = example_trace()
    graph = build_graph(trace).prune("nucleus", p=0.6)
    texts = drawn_texts(
        on_agg(draw_figure(trace, prune=("nucleus", {"p": 0.6}), scale="rank", title="A crew"))
    )
    assert "A crew" in texts
    assert any(t.startswith(graph.summary()) and "pruning nucleus p=0.6" in t and "rank" in t for t in texts)
    assert "1 of 1" not in " ".join(texts)


def test_first_and_last_plane_and_classes_are_labelled(on_agg, drawn_texts):
    trace = example_trace(layers=2)
    texts = drawn_texts(on_agg(draw_figure(trace)))
    for token in trace.tokens():
        assert token in texts
    names, shares = trace.outputs.names(), trace.outputs.probabilities[0]
    for name, share in zip(names, shares, strict=True):
        assert f"{name}  {share:.0%}".replace("%", " %") in texts
    assert {"layer 0", "1", "out"} <= set(texts)


def test_the_predicted_class_is_marked(on_agg, find_artists):
    figure = on_agg(draw_figure(example_trace()))
    first, second = (find_artists(figure, f"class-{n}")[f"class-{n}"] for n in (0, 1))
    assert (first.get_fontweight(), first.get_color()) == ("bold", LIGHT.mark)
    assert second.get_fontweight() == "normal"


def test_of_scores_that_are_nan_no_class_is_marked(on_agg, find_artists):
    trace = example_trace()
    outputs = trace.outputs
    nan = {
        name: np.full_like(getattr(outputs, name), np.nan)
        for name in ("scores", "probabilities", "contributions", "base")
    }
    figure = on_agg(draw_figure(replace(trace, outputs=replace(outputs, **nan))))
    labels = find_artists(figure, "class-").values()
    assert [t.get_text() for t in labels] == [f"{name}  NaN" for name in outputs.names()]
    assert {(t.get_fontweight(), t.get_color()) for t in labels} == {("normal", LIGHT.ink)}
    (boxes,) = find_artists(figure, "classes").values()
    assert {to_hex(colour) for colour in boxes.get_facecolor()} == {to_hex(LIGHT.soft)}
    scene = figure.picker.scene
    assert "score NaN   probability NaN" in describe_node(scene, scene.classes()[0])
    assert "nan" not in describe_node(scene, scene.classes()[0])


def test_every_edge_of_the_graph_is_drawn_between_its_nodes(on_agg, find_artists):
    trace = example_trace(layers=2)
    graph = build_graph(trace).prune("top_k", k=2)
    figure = on_agg(draw_figure(trace, prune=("top_k", {"k": 2})))
    scene = figure.picker.scene
    for kind in (EdgeKind.ATTENTION, EdgeKind.VALUE, EdgeKind.RESIDUAL):
        ends, _, _ = segments(figure, find_artists, kind.name.lower())
        edges = graph.edges.select((graph.edges.kind == kind) & ~graph.edges.is_loop)
        assert len(ends) == len(edges)
        wanted = np.stack([scene.at[edges.source], scene.at[edges.target]], axis=1)
        np.testing.assert_allclose(
            np.sort(ends.reshape(len(ends), -1), axis=0),
            np.sort(wanted.reshape(len(ends), -1), axis=0),
            atol=1e-9,
        )
    rings = find_artists(figure, "loops")
    assert rings  # attention to oneself is drawn as well


def test_stronger_edges_are_wider_and_further_from_the_paper(on_agg, find_artists):
    for theme in (LIGHT, DARK):
        figure = on_agg(draw_figure(example_trace(heads=1), theme=theme.name, scale="minmax", prune=None))
        _, widths, colours = segments(figure, find_artists, "attention")
        e = figure.picker.scene.graph.edges
        strength = np.sort(e.strength[(e.kind == EdgeKind.ATTENTION) & ~e.is_loop].astype(float))
        thin, thick = WIDTHS[EdgeKind.ATTENTION]
        wanted = (thin + (thick - thin) * strength**1.6) * figure.picker.scene.thickness
        np.testing.assert_allclose(np.sort(widths), wanted)
        away = np.array([abs(oklab(to_hex(c))[0] - oklab(theme.paper)[0]) for c in colours])
        assert (np.diff(away[np.argsort(widths, kind="stable")]) > -0.005).all()
        assert away.max() - away.min() > 0.25


def test_hue_names_the_head_up_to_eight_and_nothing_beyond(on_agg, find_artists, drawn_texts):
    few = on_agg(draw_figure(example_trace(heads=8)))
    assert few.picker.scene.by_head
    many = on_agg(draw_figure(example_trace(heads=9)))
    assert not many.picker.scene.by_head
    assert any("mean over heads" in t for t in drawn_texts(many))
    assert {-1} == set(many.picker.scene.graph.edges.head.tolist())


def test_planes_of_a_deep_model_stand_apart_and_fill_the_canvas(on_agg, sentence):
    figure = on_agg(draw_figure(example_trace(layers=12, heads=4, tokens=sentence)))
    axes, scene = figure.picker.axes, figure.picker.scene
    boxes = [axes.pixels(scene.at[members]) for _, _, members in scene.planes()]
    assert len(boxes) == 13
    for one, next_one in itertools.pairwise(boxes):
        assert one[:, 0].max() < next_one[:, 0].min()
    everything = axes.pixels(scene.at[scene.drawn])
    width, height = np.ptp(everything, axis=0) / (1280, 800)
    assert width > 0.75
    assert height > 0.65


@pytest.mark.parametrize("size", [(12.8, 8.0), (7.0, 5.0)])
@pytest.mark.parametrize("options", [{}, {"view": "front"}, {"view": "layer"}, {"layout": "spring"}])
def test_labels_stay_on_the_canvas_and_off_each_other(on_agg, sentence, size, options):
    figure = on_agg(draw_figure(example_trace(layers=6, heads=4, tokens=sentence), figsize=size, **options))
    renderer = figure.canvas.get_renderer()
    boxes = [
        text.get_window_extent(renderer)
        for text in figure.picker.axes.texts
        + [a for a in figure.picker.axes.get_children() if hasattr(a, "get_text")]
        if text.get_visible() and text.get_text() and str(text.get_gid()).startswith(("label", "class"))
    ]
    assert len(boxes) > 20
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= size[0] * 100
        assert box.y0 >= 0
        assert box.y1 <= size[1] * 100
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            over = (
                min(one.x1, other.x1) - max(one.x0, other.x0),
                min(one.y1, other.y1) - max(one.y0, other.y0),
            )
            same = np.allclose(one.extents, other.extents)
            assert same or min(over) < 3


def test_far_planes_are_drawn_first_from_both_ends(on_agg, find_artists):
    figure = on_agg(draw_figure(example_trace()))
    axes = figure.picker.axes

    def heights():
        return [find_artists(figure, f"nodes-0-{n}")[f"nodes-0-{n}"].get_zorder() for n in range(4)]

    assert heights() == sorted(heights())
    axes.view_init(elev=14, azim=120)
    FigureCanvasAgg(figure).draw()
    assert heights() == sorted(heights(), reverse=True)


def test_front_view_tells_the_value_flow(on_agg, find_artists, drawn_texts):
    figure = on_agg(draw_figure(example_trace(), view="front"))
    assert not find_artists(figure, "edges-attention")
    assert find_artists(figure, "edges-value")
    edges = figure.picker.scene.graph.edges
    counted = int((edges.kind == EdgeKind.VALUE).sum())
    said = next(t for t in drawn_texts(figure) if "of the value flow" in t)
    assert re.match(rf"{counted:,} of [\d,]+ value edges, ", said)


def test_layer_view_shows_one_plane_face_on(on_agg, find_artists):
    figure = on_agg(draw_figure(example_trace(), view="layer", layers=[1]))
    assert list(find_artists(figure, "nodes-")) == ["nodes-0-1"]
    at = figure.picker.axes.pixels(figure.picker.scene.at[figure.picker.scene.drawn])
    assert np.ptp(at[:, 0]) == pytest.approx(np.ptp(at[:, 1]), rel=0.02)  # a circle


def test_chosen_layers_only_have_planes(on_agg, find_artists):
    figure = on_agg(draw_figure(example_trace(layers=5), layers=[2, 3]))
    assert sorted(find_artists(figure, "nodes-")) == ["nodes-0-2", "nodes-0-3", "nodes-0-4"]


def test_padding_is_not_drawn(on_agg, drawn_texts):
    trace = example_trace(padding=6)
    figure = on_agg(draw_figure(trace, 1))
    scene = figure.picker.scene
    assert not (scene.drawn & scene.graph.nodes.padded).any()
    assert scene.drawn.sum() == 4 * 10 + 3
    assert trace.tokens(1)[-1] not in drawn_texts(figure)


def test_pictures_are_drawn_in_their_own_colours(on_agg, find_artists, digit):
    figure = on_agg(draw_figure(digit))
    pictures = figure.findobj(lambda a: a.get_gid() == "pictures")
    assert len(pictures) == 3
    first = (
        next(p for p in pictures if np.allclose(p._vec[0], 0))
        if hasattr(pictures[0], "_vec")
        else pictures[0]
    )
    wanted = fade(LIGHT, digit.sides[0].patches(0)[1:].reshape(-1, 3) / 255, 0.85)
    found = {tuple(c) for c in np.round(first.get_facecolor()[:, :3], 4)}
    assert found == {tuple(c) for c in np.round(wanted, 4)}


def test_both_towers_of_an_encoder_decoder_are_drawn(on_agg, find_artists, drawn_texts):
    figure = on_agg(draw_figure(example_trace(layers=2, decoder=True)))
    assert find_artists(figure, "edges-cross")
    assert "[start]" in drawn_texts(figure)
    assert {"nodes-0-2", "nodes-1-4"} <= set(find_artists(figure, "nodes-"))


def test_notes_name_nan_rows_uniform_heads_and_keys_not_kept(on_agg, drawn_texts):
    trace = example_trace(k=3)
    assert any("top 3 keys" in t for t in drawn_texts(on_agg(draw_figure(trace))))
    call = example_trace(layers=1).calls[0]
    weights = call.arrays.weights.copy()
    weights[:, 0, 2] = np.nan
    weights[:, 1] = 1 / 16
    broken = replace(
        example_trace(layers=1), calls=(replace(call, arrays=replace(call.arrays, weights=weights)),)
    )
    figure = on_agg(draw_figure(broken))
    said = " ".join(drawn_texts(figure))
    assert "1 rows are NaN" in said
    assert "uniform, drawn faint: layer.head 0.1" in said
    dots = figure.findobj(lambda a: a.get_gid() == "nodes-0-0")[0]
    marked = [to_hex(c) == LIGHT.mark for c in dots.get_facecolor()]
    assert sum(marked) == 1


@pytest.mark.parametrize(
    "made",
    [
        {"tokens": ["one"]},
        {"tokens": ["a", "b"], "heads": 1, "layers": 1},
        {"layers": 1},
        {"k": 1},
        {"decoder": True, "padding": 3},
    ],
)
@pytest.mark.parametrize("view", ["3d", "front", "layer"])
@pytest.mark.parametrize("layout", ["ring", "line", "grid", "spring"])
def test_every_view_and_layout_takes_every_trace(on_agg, made, view, layout):
    on_agg(draw_figure(example_trace(**made), view=view, layout=layout, figsize=(3, 2)))


def test_all_rows_nan_still_give_a_figure(on_agg, drawn_texts):
    trace = example_trace(layers=1)
    call = trace.calls[0]
    arrays = replace(call.arrays, weights=np.full_like(call.arrays.weights, np.nan))
    texts = drawn_texts(on_agg(draw_figure(replace(trace, calls=(replace(call, arrays=arrays),)))))
    assert any("32 rows are NaN" in t for t in texts)
    assert any(t.startswith("0 of 0 attention edges") for t in texts)


def test_themes_colour_paper_and_ink(on_agg):
    for theme in (LIGHT, DARK):
        figure = on_agg(draw_figure(example_trace(), theme=theme.name))
        assert to_hex(figure.get_facecolor()) == theme.paper
        assert np.asarray(figure.canvas.buffer_rgba())[2, 2, :3].tolist() == [
            int(theme.paper[i : i + 2], 16) for i in (1, 3, 5)
        ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"theme": "drak"}, "Did you mean 'dark'"),
        ({"layout": "rings"}, "Did you mean 'ring'"),
        ({"view": "3D"}, "'3d', 'front', 'layer'"),
        ({"prune": "nuclues"}, "Did you mean 'nucleus'"),
        ({"prune": 0.5}, "is no pruning"),
        ({"colour": "red"}, "figure has no option 'colour'; there is 'heads'"),
        ({"heads": [9]}, "no head 9"),
    ],
)
def test_a_wrong_option_is_answered_with_those_there_are(options, says):
    with pytest.raises(OptionError, match=says):
        draw_figure(example_trace(), **options)


def test_contribution_without_values_says_what_to_do():
    trace = example_trace(layers=1)
    call = trace.calls[0]
    bare = replace(trace, calls=(replace(call, arrays=replace(call.arrays, value_norms=None)),))
    with pytest.raises(NotKeptError, match="values=True"):
        draw_figure(bare, scale="contribution")
    draw_figure(bare)


def test_svg_keeps_text_as_text():
    file = io.StringIO()
    draw_figure(example_trace(), title="Who attends to whom?").savefig(file, format="svg")
    root = ET.fromstring(file.getvalue())
    texts = {"".join(t.itertext()).strip() for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Who attends to whom?", "crew", "boston"} <= texts


def test_png_and_pdf_are_written(tmp_path):
    figure = draw_figure(example_trace(layers=1))
    figure.savefig(tmp_path / "a.png")
    figure.savefig(tmp_path / "a.pdf")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_tight_saving_keeps_the_whole_figure(tmp_path):
    from PIL import Image

    draw_figure(example_trace(layers=1), figsize=(6, 4)).savefig(
        tmp_path / "a.png", bbox_inches="tight", pad_inches=0
    )
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (600, 400)


def test_a_notebook_gets_a_png_of_a_figure_that_pyplot_does_not_know():
    assert draw_figure(example_trace(layers=1), figsize=(3, 2))._repr_png_().startswith(b"\x89PNG")


def test_pyplot_is_not_even_loaded():
    code = (
        "import sys, io\n"
        "from headscape.trace.synthetic import example_trace\n"
        "example_trace(layers=1).figure().savefig(io.BytesIO())\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_pyplot_knows_the_figure_where_windows_can_open(monkeypatch):
    import matplotlib.pyplot as plt

    draw_figure(example_trace(layers=1))
    assert plt.get_fignums() == []
    monkeypatch.setattr("matplotlib.get_backend", lambda: "TkAgg")
    figure = draw_figure(example_trace(layers=1))
    assert [plt.figure(n) for n in plt.get_fignums()] == [figure]
    assert figure._repr_png_() is None
    plt.close(figure)


HOSTILE = ["$x^2$", "$", "", "\0", "😀", "שלום", "مرحبا", "a" * 1_000_000, "</script>", "中文", "\ud800"]
HOSTILE += ["\u202eevil", "\n\n", "   ", "\\frac{1}{0}", "_^{}%&#~", "Z" + "\u0351" * 200]


def test_hostile_text_is_shown_as_text_and_raises_no_warning(tmp_path):
    trace = example_trace(layers=1, tokens=HOSTILE)
    outputs = replace(trace.outputs, class_names=("$neg$", "\0", "😀" * 500))
    trace = replace(trace, outputs=outputs, model="$\\alpha$ <b>\ud800")
    for ending in ("png", "svg", "pdf"):
        figure = draw_figure(trace)
        figure.savefig(tmp_path / f"a.{ending}")
    root = ET.fromstring((tmp_path / "a.svg").read_text(encoding="utf-8"))
    shown = {"".join(t.itertext()).strip() for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {
        "$x^2$",
        "$",
        "</script>",
        "evil",
        "(empty)",
        "\\frac{1}{0}",
        "\\n\\n",
        "aaaaaaaaaaaaaaa…",
    } <= shown
    assert any(t.startswith("$neg$") for t in shown)
    assert any(t.startswith("$\\alpha$ <b>") for t in shown)
    nodes = figure.picker.scene.graph.nodes
    assert nodes.label[nodes.kind == NodeKind.TOKEN][7] == "a" * 1_000_000  # the data stays whole
