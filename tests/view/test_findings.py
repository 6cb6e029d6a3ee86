"""What analyses found, as a page carries it: checked, cut to size, and never markup."""

import math

import pytest

from headscape.errors import OptionError
from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace
from headscape.view.findings import (
    H0_MARK,
    LONGEST_NAME,
    LONGEST_SAID,
    MOST_ANSWERS,
    add_findings,
    answer_knock_out,
    read_knock_out,
)
from headscape.view.frames import Frame
from headscape.view.page import choose_frames, page_html, write_page
from headscape.view.scene import scene_block
from headscape.view.show import show
from headscape.view.widget import Widget

HEAD = {
    "kind": "head", "call": 1, "head": 2, "example": 0, "by": "zero", "output_change": 0.25,
    "answers": [{"name": "yes", "before": 0.75, "after": 0.5, "logit_before": 1.1, "logit_after": 0.0}],
}  # fmt: skip


def described(frame: Frame) -> dict:
    """Return what the scene of a frame says of itself."""
    return unpack(scene_block(frame.trace, frame.example, findings=frame.findings))[1]


def test_roles_of_a_mapping_stand_in_every_scene():
    roles = {(0, 1): ("previous token", "98 %"), (1, 0): ("sink", "first token, 91 %")}
    frames = choose_frames(example_trace(), roles=roles).frames
    assert len(frames) == 2
    for frame in frames:
        assert described(frame)["roles"] == [
            [0, 1, "previous token", "98 %"],
            [1, 0, "sink", "first token, 91 %"],
        ]


def test_roles_of_an_object_are_asked_for_every_head():
    class Role:
        def __init__(self, name):
            self.name, self.evidence = name, "seen"

    class Roles:
        def of(self, call, head):
            return Role(f"role {call}.{head}") if head != 1 else None

    trace = example_trace(layers=2, heads=3)
    (frame, _) = choose_frames(trace, roles=Roles()).frames
    assert [entry[:3] for entry in described(frame)["roles"]] == [
        [call, head, f"role {call}.{head}"] for call in range(2) for head in (0, 2)
    ]


def test_roles_that_are_asked_for_are_found_in_the_traces_of_the_page():
    from headscape.analysis.roles import find_roles

    steps = [example_trace(layers=2, heads=3, seed=n) for n in range(2)]
    frames = choose_frames(steps, roles=True).frames
    found = find_roles(steps)
    wanted = [[call, head, found.of(call, head).name] for call in range(2) for head in range(3)]
    for frame in frames:
        assert [entry[:3] for entry in described(frame)["roles"]] == wanted


@pytest.mark.parametrize("roles", ["sink", {(0, 1): "sink"}, {0: ("sink", "")}, {(0, -1): ("a", "b")}, 3])
def test_what_is_no_mapping_of_roles_is_answered(roles):
    with pytest.raises(OptionError, match=r"\(call, head\) to \(name, evidence\)"):
        choose_frames(example_trace(), roles=roles)


def test_a_knock_out_belongs_to_the_picture_of_its_example_and_of_steps_to_the_last():
    frames = choose_frames(example_trace(), knock_outs=[HEAD | {"example": 1}]).frames
    assert [len(described(frame).get("knock_outs", [])) for frame in frames] == [0, 1]
    steps = [example_trace(seed=n) for n in range(3)]
    assert ["knock_outs" in described(f) for f in choose_frames(steps, knock_outs=[HEAD]).frames] == [
        False, False, True,
    ]  # fmt: skip
    first = choose_frames(steps, knock_outs=[HEAD | {"frame": 0}]).frames
    assert ["knock_outs" in described(frame) for frame in first] == [True, False, False]
    chosen = choose_frames(example_trace(), knock_outs=[HEAD | {"example": 7}, HEAD])
    assert chosen.note == "1 knock-outs of examples that are not shown left out"
    with pytest.raises(OptionError, match="frame"):
        choose_frames(example_trace(), knock_outs=[HEAD | {"frame": 7}])


class Found:
    """Knock-outs as the probe returns them: they describe themselves."""

    def findings(self):
        return [HEAD | {"example": 1, "output_change": 0.75}, HEAD]


def test_what_the_probe_returns_is_taken_as_it_is():
    frames = choose_frames(example_trace(), knock_outs=Found()).frames
    changes = [[one["output_change"] for one in described(frame)["knock_outs"]] for frame in frames]
    assert changes == [[0.25], [0.75]]
    with pytest.raises(OptionError, match="knock_outs is a dict"):
        choose_frames(example_trace(), knock_outs=HEAD)


def test_a_misspelt_option_of_a_page_is_answered():
    with pytest.raises(OptionError, match=r"'role'.*Did you mean 'roles'"):
        choose_frames(example_trace(), role=True)


def test_steps_carry_the_sum_of_h0_bars_for_the_line_over_them():
    topology = pytest.importorskip("headscape.analysis.topology.of_trace")
    steps = [example_trace(seed=n) for n in range(3)]
    frames = choose_frames(steps, topology=True).frames
    wanted = [topology.head_topology(step).table("h0_sum").mean() for step in steps]
    assert [frame.marks[H0_MARK] for frame in frames] == pytest.approx(wanted)
    assert not choose_frames(example_trace(), topology=True).frames[0].marks
    with pytest.raises(OptionError, match="True or False"):
        choose_frames(steps, topology="h0")


def test_of_too_many_knock_outs_those_that_change_least_are_left_out_and_counted(monkeypatch):
    monkeypatch.setattr("headscape.view.findings.MOST_KNOCK_OUTS", 2)
    outs = [HEAD | {"head": n, "output_change": change} for n, change in enumerate((0.1, -0.9, 0.5))]
    chosen = choose_frames(example_trace(), knock_outs=outs, note="N")
    assert [one["head"] for one in described(chosen.frames[0])["knock_outs"]] == [1, 2]
    assert chosen.note == "N · 1 smaller knock-outs left out"


def test_texts_are_cut_and_numbers_that_are_not_finite_are_none():
    answers = [{"name": "x" * 500, "before": math.nan, "after": math.inf}] * 50
    found = read_knock_out(HEAD | {"answers": answers, "note": "y" * 5000, "output_change": -math.inf})
    assert (
        found["answers"]
        == [
            {"name": "x" * (LONGEST_NAME - 1) + "…"}
            | dict.fromkeys(("before", "after", "logit_before", "logit_after"))
        ]
        * MOST_ANSWERS
    )
    assert found["note"] == "y" * (LONGEST_SAID - 1) + "…"
    assert found["output_change"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "layer"}, "no kind 'layer'"),
        ({"by": "noise"}, "no by 'noise'"),
        ({"call": None}, "has no call"),
        ({"call": -1}, "call -1; a whole number"),
        ({"head": 1.5}, "head 1.5; a whole number"),
        ({"kind": "edge", "query": None}, "no query and no key"),
        ({"kind": "token"}, "has no key"),
        ({"answers": [{"before": 1}]}, "a dict with a name"),
        ({"answers": 3}, "a list of dicts"),
        ({"answers": [], "output_change": None}, "nothing to show"),
    ],
)
def test_what_is_wrong_with_a_knock_out_is_named_with_its_place(change, said):
    with pytest.raises(OptionError, match=said) as caught:
        choose_frames(example_trace(), knock_outs=[HEAD, HEAD | change])
    assert "knock_outs[1]" in str(caught.value)


def test_hostile_texts_become_no_markup(script):
    evil = "</script><img src=x onerror=alert(1)>"
    page = page_html(
        example_trace(),
        roles={(0, 0): (evil, evil)},
        knock_outs=[HEAD | {"answers": [HEAD["answers"][0] | {"name": evil}], "note": evil}],
    )
    assert "<img" not in page
    assert page.count("</script>") == 2  # of the data and of the viewer


def test_frames_keep_what_they_bring_themselves():
    own = {"roles": [[0, 0, "mine", ""]]}
    (frame,), _ = add_findings([Frame(example_trace(), findings=own)], knock_outs=[HEAD])
    assert described(frame)["roles"] == own["roles"]
    assert described(frame)["knock_outs"][0]["head"] == 2


def test_a_page_and_a_file_need_no_function_that_asks_a_model(tmp_path, script, capsys):
    with pytest.raises(OptionError, match="widget"):
        write_page(example_trace(), tmp_path / "a.html", knock_out=lambda request: HEAD)
    show(example_trace(), path=tmp_path / "b.html", knock_out=lambda request: HEAD)
    assert (tmp_path / "b.html").exists()


@pytest.fixture
def ask(monkeypatch, scripts):
    """Return a function that presses the button of a widget and returns what the view is sent."""

    def asked(knock_out, request):
        widget = Widget(example_trace(), knock_out=knock_out)
        assert widget.get_state()["_knocks"] is True
        sent = []
        monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
        widget._handle_custom_msg({"kind": "knock_out", "id": "a1", "request": request}, [])
        return sent

    return asked


def test_a_press_in_the_widget_asks_the_function_and_tells_the_view(ask):
    heard = []

    def knock_out(request):
        heard.append(request)
        return {"answers": HEAD["answers"], "output_change": 0.5}

    request = {"kind": "head", "call": 1, "head": 0, "example": 1, "by": "mean", "evil": 1}
    (sent,) = ask(knock_out, request)
    assert heard == [
        {"kind": "head", "call": 1, "head": 0, "query": None, "key": None, "side": None, "example": 1,
         "frame": None, "by": "mean", "options": {"heads": [(1, 0)], "by": "mean"}},
    ]  # fmt: skip
    assert (sent["kind"], sent["id"]) == ("knocked_out", "a1")
    assert sent["answer"]["answers"] == HEAD["answers"]
    assert (sent["answer"]["by"], sent["answer"]["head"], sent["answer"]["output_change"]) == ("mean", 0, 0.5)


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ({"kind": "edge", "call": 1, "head": None, "query": 3, "key": 2}, {"edges": [(1, None, 3, 2)]}),
        ({"kind": "token", "key": 4}, {"tokens": [(0, 4)]}),
        ({"kind": "token", "key": 4, "side": 1}, {"tokens": [(1, 4)]}),
    ],
)
def test_options_are_those_of_knock_out_and_its_result_is_read_for_the_example(ask, place, options):
    heard = []

    def knock_out(request):
        heard.append(request["options"])
        return Found()

    (sent,) = ask(knock_out, {"example": 1, "by": "zero", **place})
    assert heard == [options | {"by": "zero"}]
    assert sent["answer"]["output_change"] == 0.75


@pytest.mark.parametrize(
    ("knock_out", "said"),
    [
        (lambda request: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda request: None, "OptionError: the answer of the knock_out function is a NoneType"),
        (lambda request: {}, "nothing to show"),
    ],
)
def test_what_goes_wrong_in_the_function_reaches_the_view_as_a_sentence(ask, knock_out, said):
    (sent,) = ask(knock_out, {"kind": "head", "call": 0, "head": 0, "by": "zero"})
    assert said in sent["answer"]["error"]
    assert sent["answer"]["answers"] == []


def test_a_widget_without_the_function_answers_no_such_message(monkeypatch, scripts):
    widget = Widget(example_trace())
    assert widget.get_state()["_knocks"] is False
    sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    widget._handle_custom_msg({"kind": "knock_out", "id": "a", "request": HEAD}, [])
    assert sent == []
    with pytest.raises(OptionError, match="a function is needed"):
        Widget(example_trace(), knock_out=HEAD)


def test_an_error_is_cut_too():
    def fails(request):
        raise RuntimeError("z" * 9000)

    assert len(answer_knock_out(fails, {"kind": "head"})["error"]) == LONGEST_SAID
