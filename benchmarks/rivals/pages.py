"""One page of every library, on the same attention and the same tokens."""

import importlib.metadata
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rivals.material import Links, Size, make_layers, make_links, make_tokens, make_trace
from rivals.scripts import FORCE_GRAPH

# Chromium's scripts cannot hold a longer string, 2**29 - 24 characters; a script's text is one.
LONGEST_SCRIPT = 536_870_888
LAYER_HUES = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#bbbb44")


@dataclass(frozen=True)
class Subject:
    """A library's page.

    ``write(size, edges, folder)`` returns its text; ``edges`` is how many edges headscape's own page drew at
    this size. ``region`` is the CSS selector of what it draws. ``script`` names how it is moved: ``drag``
    turns, ``wheel`` scrolls, ``hover`` goes down its left side. ``still`` is JavaScript that stops a library
    which draws all the time. ``draws`` says that it draws a chosen number of edges, and ``more`` is
    JavaScript by which a page draws another number than it opens with. ``weight_bytes`` is about how large a
    weight is in the page.
    """

    name: str
    write: Callable[[Size, int, Path], str]
    region: str
    script: str
    package: str | None = None
    still: str = ""
    draws: bool = False
    more: str = ""
    weight_bytes: float = 0

    def too_large(self, size: Size) -> str:
        """Say why there is no use in trying; "" where there is."""
        expected = self.weight_bytes * size.weights
        if expected <= LONGEST_SCRIPT:
            return ""
        return f"{expected / 1e9:.1f} GB in one script, more than the browser's longest string"


def write_headscape(size: Size, edges: int, folder: Path) -> str:
    """Return headscape's own offline page."""
    from headscape.view.page import page_html

    return page_html(make_trace(size))


def _tensors(size: Size) -> list:
    import torch

    return [torch.from_numpy(weights)[None] for weights in make_layers(size)]


def write_model_view(size: Size, edges: int, folder: Path) -> str:
    """Return BertViz's grid of all heads."""
    from bertviz import model_view

    found = model_view(_tensors(size), make_tokens(size.tokens), html_action="return")
    return _whole(found.data)


def write_head_view(size: Size, edges: int, folder: Path) -> str:
    """Return BertViz's two columns of tokens, one layer at a time."""
    from bertviz import head_view

    found = head_view(_tensors(size), make_tokens(size.tokens), html_action="return")
    return _whole(found.data)


def write_circuitsvis(size: Size, edges: int, folder: Path) -> str:
    """Return CircuitsVis' matrices of all heads, in the form that carries its own scripts."""
    # Installed without its dependencies (which pin old ones), it lacks this alone.
    sys.modules.setdefault("importlib_metadata", importlib.metadata)
    from circuitsvis.attention import attention_heads

    names = [f"L{n // size.heads}H{n % size.heads}" for n in range(size.layers * size.heads)]
    found = attention_heads(np.concatenate(list(make_layers(size))), make_tokens(size.tokens), names)
    return _whole(found.local_src)


def write_circuitsvis_layer(size: Size, edges: int, folder: Path) -> str:
    """Return CircuitsVis' matrices of the first layer's heads alone, which is how it is mostly used."""
    return write_circuitsvis(replace(size, layers=1), edges, folder)


def write_plotly(size: Size, edges: int, folder: Path) -> str:
    """Return plotly's 3D lines: the strongest edges, a trace a layer, as a trace has one width."""
    from plotly import graph_objects as go

    links = make_links(size, edges)
    figure = go.Figure()
    for layer in range(size.layers):
        mine = links.layer == layer
        ends = np.full((int(mine.sum()), 3, 3), np.nan)
        ends[:, 0] = links.positions[layer, links.query[mine]]
        ends[:, 1] = links.positions[layer, links.key[mine]]
        x, y, z = ends.reshape(-1, 3).T
        line = {"color": LAYER_HUES[layer % len(LAYER_HUES)], "width": 2}
        figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, opacity=0.6, showlegend=False))
    x, y, z = links.positions.reshape(-1, 3).T
    tokens = make_tokens(size.tokens) * size.layers
    marks = {"size": 2, "color": "#333"}
    figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marks, text=tokens, showlegend=False))
    hidden = {"visible": False}
    figure.update_layout(
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
    )
    return figure.to_html(
        include_plotlyjs=True, full_html=True, default_width="100vw", default_height="100vh"
    )


def write_force_graph(size: Size, edges: int, folder: Path) -> str:
    """Return 3d-force-graph with every node where it belongs, so that no force has to be worked out."""
    links = make_links(size, edges)
    library = (folder / FORCE_GRAPH.file).read_text(encoding="utf-8").replace("</script", r"<\/script")
    return _whole(f"""<style>body {{ margin: 0 }}</style><div id="graph"></div>
<script>{library}</script>
<script>
const data = {json.dumps(_graph_data(size, links))};
const graph = ForceGraph3D()(document.getElementById("graph")).backgroundColor("#ffffff")
  .cooldownTicks(0).nodeRelSize(1.5).nodeColor(() => "#333").linkColor((link) => link.color).linkOpacity(0.6)
  .enableNodeDrag(false).graphData(data).cameraPosition({{ z: {round(links.depth)} }});
</script>""")


def _graph_data(size: Size, links: Links) -> dict[str, list[dict[str, object]]]:
    tokens = make_tokens(size.tokens)
    nodes = [
        {"id": layer * size.tokens + n, "name": tokens[n]} | dict(zip(("fx", "fy", "fz"), at, strict=True))
        for layer, plane in enumerate(links.positions.round(2).tolist())
        for n, at in enumerate(plane)
    ]
    columns = (links.layer.tolist(), links.query.tolist(), links.key.tolist(), links.weight.round(4).tolist())
    found = [
        {
            "source": layer * size.tokens + query, "target": layer * size.tokens + key, "weight": round(w, 4),
            "color": LAYER_HUES[layer % len(LAYER_HUES)],
        }
        for layer, query, key, w in zip(*columns, strict=True)
    ]  # fmt: skip
    return {"nodes": nodes, "links": found}


def _whole(body: str) -> str:
    return f'<!doctype html>\n<html><head><meta charset="utf-8"></head><body>\n{body}\n</body></html>\n'


OURS = "headscape"
# Halve the slider's range until the edges that are at least so strong are as many as asked for.
MORE = """async (edges) => {
  const view = globalThis.headscapeViews[0];
  let [few, many] = [0, 1];
  for (let n = 0; n < 24; n++) {
    const slider = (few + many) / 2;
    await view.apply({ prune: "strength", slider });
    if (view.state().shown < edges) few = slider; else many = slider;
  }
}"""
SUBJECTS = (
    Subject(OURS, write_headscape, "#headscape canvas.graph", "drag", draws=True, more=MORE),
    Subject("BertViz model_view", write_model_view, "#vis svg", "wheel", "bertviz", weight_bytes=44),
    Subject("BertViz head_view", write_head_view, "#vis svg", "hover", "bertviz", weight_bytes=44),
    Subject("CircuitsVis", write_circuitsvis, "[id^=circuits-vis]", "wheel", "circuitsvis", weight_bytes=14),
    Subject(
        "CircuitsVis, 1 layer",
        write_circuitsvis_layer,
        "[id^=circuits-vis]",
        "wheel",
        "circuitsvis",
        weight_bytes=2,
    ),
    Subject("plotly Scatter3d", write_plotly, ".plotly-graph-div", "drag", "plotly", draws=True),
    Subject(
        "3d-force-graph",
        write_force_graph,
        "#graph canvas",
        "drag",
        still="() => { graph.pauseAnimation(); }",
        draws=True,
    ),
)
