"""The zoo's own guards: a wrong truth, and a wrong capture, are noticed."""

import copy
import functools
import types

import numpy as np
import pytest
import torch
from tests.zoo import runner
from tests.zoo.case import Case, Subject, Truth
from tests.zoo.compare import difference, left_behind, same_bits, state_of
from tests.zoo.hugging_face import Line, build, text
from tests.zoo.runner import check_tells_apart, run_case
from tests.zoo.truth import (
    TruthError,
    check_met_values,
    executed_softmax,
    identity_probe,
    match_told,
    told_by_model,
)
from tests.zoo.windows import dense_over_groups
from tests.zoo.written import BATCH, LENGTH, WIDTH, Stack, random, reference, spread_out
from tests.zoo.written_blocks import shifted_windows
from tests.zoo.written_kernels import EarlyBound, Gqa
from tests.zoo.written_softmax import MaskedFill, Where

X = random(BATCH, LENGTH, WIDTH)
RUN = functools.partial(lambda m: m(X))


def written(attention):
    return spread_out(Stack(attention)).eval()


def called(weights, path="", kind="self"):
    """Return a stand-in for a captured call."""
    return types.SimpleNamespace(
        shape=weights.shape,
        weights=lambda b: weights[b],
        path=path,
        kind=kind,
        source="",
        self_check=0.0,
        k=None,
    )


def test_the_probe_and_the_float64_reference_agree_on_one_model():
    model = written(Gqa)
    for probed, known in zip(identity_probe(model, RUN), reference(model, X), strict=True):
        np.testing.assert_allclose(probed.weights, known.weights, atol=2e-6)
        assert probed.path == known.path


def test_the_softmax_and_the_float64_reference_agree_on_one_model():
    model = written(Where)
    seen = executed_softmax(model, RUN, lambda truth: truth.path.endswith("normalise"))
    for executed, known in zip(seen, reference(model, X), strict=True):
        np.testing.assert_allclose(executed.weights, known.weights, atol=2e-6)


def test_the_probe_does_not_see_a_kernel_bound_early_and_says_so_by_finding_nothing():
    assert identity_probe(written(EarlyBound), RUN) == []


def test_the_probe_refuses_a_transposed_matrix():
    weights = torch.rand(2, 4, 6, 6).softmax(-1)
    value = torch.randn(2, 4, 6, 3)
    check_met_values(weights, value, weights @ value)
    with pytest.raises(TruthError, match="differs from the kernel's output"):
        check_met_values(weights.mT, value, weights @ value)


def test_a_told_matrix_that_no_softmax_returned_is_refused():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 4, 5))
    assert match_told([weights], [Truth(weights, "a")])[0].path == "a"
    with pytest.raises(TruthError, match="none that a softmax returned"):
        match_told([weights.swapaxes(2, 3)], [Truth(weights, "a")])
    with pytest.raises(TruthError, match="told of no attention"):
        match_told([], [Truth(weights, "a")])


def test_told_weights_that_the_model_averaged_are_refused(monkeypatch):
    model, inputs = build(Line("BertModel", implementation="eager")).eval(), text()
    run = functools.partial(lambda m, **more: m(**inputs, **more))
    assert len(told_by_model(model, run)) == 2

    def averaging(m, **more):  # as WavLM's does
        output = m(**inputs, **more)
        if output.attentions:
            output["attentions"] = [a.mean(1, keepdim=True).expand_as(a) for a in output.attentions]
        return output

    with pytest.raises(TruthError, match="none that a softmax returned"):
        told_by_model(model, averaging)


def test_a_reference_with_another_mask_does_not_reach_the_models_output(monkeypatch):
    model = written(MaskedFill)
    reference(model, X)
    monkeypatch.setattr(MaskedFill, "matrix", lambda self, q, k: np.full((BATCH, 4, LENGTH, LENGTH), 1 / 6))
    with pytest.raises(TruthError, match="away from the model's output"):
        reference(model, X)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (np.full((1, 2, 3, 3), 1 / 3), "uniform"),
        (np.broadcast_to([[0.7, 0.3], [0.2, 0.8]], (1, 2, 2, 2)), "all heads are alike"),
        (np.ones((2, 3, 3)), "is not"),
    ],
)
def test_a_truth_that_tells_nothing_apart_is_refused(weights, says):
    with pytest.raises(TruthError, match=says):
        check_tells_apart(Truth(weights, ""))


def test_a_transposed_or_shifted_capture_is_far_from_the_truth():
    (truth, _) = reference(written(MaskedFill), X)
    assert difference(truth, called(truth.weights)) == 0
    assert difference(truth, called(truth.weights.swapaxes(2, 3))) > 0.1
    assert difference(truth, called(truth.weights[:, ::-1])) > 0.1
    assert difference(truth, called(truth.weights[:, :, :-1])) == np.inf


def test_kept_keys_are_put_back_where_they_stand():
    weights = np.zeros((1, 1, 2, 4))
    weights[0, 0, 0, [1, 3]], weights[0, 0, 1, 2] = [0.4, 0.6], 1
    keys, values = np.array([[[3, 1], [2, -1]]]), np.array([[[0.6, 0.4], [1, 0]]])
    call = types.SimpleNamespace(shape=weights.shape, k=2, top=lambda example: (keys, values))
    assert difference(Truth(weights, ""), call) == 0
    keys[0, 0] = [1, 3]
    assert difference(Truth(weights, ""), call) == pytest.approx(0.2)


def test_a_call_of_the_last_queries_alone_stands_at_the_end():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 4, 5))
    weights[:, :, :3] = 0
    assert difference(Truth(weights, ""), called(weights[:, :, 3:])) == 0
    assert difference(Truth(weights, ""), called(weights[:, :, :2])) > 0.1
    weights[:, :, 2, 0] = 1
    assert difference(Truth(weights, ""), called(weights[:, :, 3:])) == np.inf


def test_padded_rows_are_left_out_and_real_ones_are_not():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 4, 5))
    real = np.ones((2, 5), bool)
    real[1, 3:] = False
    seen = weights.copy()
    seen[1, :, 3:] = 0
    assert difference(Truth(weights, "", real=real), called(seen)) == 0
    seen[1, :, 2] = 0
    assert difference(Truth(weights, "", real=real), called(seen)) > 0.1


def test_rows_are_compared_as_multisets_with_the_real_batch():
    windows = np.random.default_rng(0).dirichlet(np.ones(4), size=(6, 2, 4))
    truth = Truth(windows, "", rows_of=2)
    rows = np.zeros((2, 2, 12, 12))
    for window in range(6):
        place = 4 * (window % 3)
        rows[window // 3, :, place : place + 4, place : place + 4] = windows[window]
    assert difference(truth, called(rows)) == 0
    assert difference(truth, called(windows)) == np.inf
    rows[0, 0, 0] = rows[0, 0, 1]
    assert difference(truth, called(rows)) > 0.01


def test_windows_are_laid_out_over_the_tokens_they_hold():
    groups = shifted_windows(4, 2, 1)
    assert groups[0].tolist() == [5, 6, 9, 10]
    assert sorted(groups.ravel()) == list(range(16))
    dense = dense_over_groups(Truth(np.full((4, 1, 4, 4), 0.25), ""), groups, 1).weights
    assert dense[0, 0, 5, [5, 6, 9, 10]].tolist() == [0.25] * 4
    assert dense.sum() == 16


def subject_of_kernels():
    model = written(Gqa)
    return Subject(model, RUN, lambda: reference(model, X))


def spoil_weights(seen):
    call = seen.traces[0].calls[0]
    call.arrays.weights[0, 1, 3, 2] += 1e-3


def spoil_output(seen):
    seen.output[0][0, 0] = torch.nextafter(seen.output[0][0, 0], torch.tensor(9.0))


def spoil_count(seen):
    object.__setattr__(seen.traces[0], "calls", seen.traces[0].calls[:1])


def spoil_surplus(seen):
    object.__setattr__(seen.traces[0], "calls", (*seen.traces[0].calls, seen.traces[0].calls[0]))


def spoil_path(seen):
    object.__setattr__(seen.traces[0].calls[1], "path", "layers.0")


def spoil_kind(seen):
    object.__setattr__(seen.traces[0].calls[1], "kind", "cross")


def spoil_words(seen):
    seen.said = ("layers.0 (Gqa) looks like attention, but none was seen in it.",)


def spoil_check(seen):
    object.__setattr__(seen.traces[0].calls[1], "self_check", float("nan"))


def test_an_unspoilt_capture_is_exact():
    result = run_case(Case("guards", "kernels", subject_of_kernels))
    assert result.faults == []
    assert result.is_met
    assert result.found == "exact"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_weights, "differs by 0.001"),
        (spoil_output, "outputs differ"),
        (spoil_count, "1 calls for 2 truths"),
        (spoil_surplus, "3 calls for 2 truths"),
        (spoil_path, "the path is 'layers.1'"),
        (spoil_kind, "cross, not self"),
        (spoil_words, "exact, yet it warns"),
        (spoil_check, "self_check of layers.1 is nan"),
    ],
)
def test_a_spoilt_capture_fails_its_case(monkeypatch, spoil, says):
    honest = runner.capture

    def spoilt(subject, **options):
        seen = honest(subject, **options)
        spoil(seen)
        return seen

    monkeypatch.setattr(runner, "capture", spoilt)
    result = run_case(Case("guards", "kernels", subject_of_kernels))
    assert not result.is_met
    assert result.found == "failed"
    assert says in "; ".join(result.faults)


@pytest.mark.parametrize("expect", ["partial", "none"])
def test_a_capture_better_or_other_than_declared_fails_its_case(expect):
    assert not run_case(Case("guards", "kernels", subject_of_kernels, expect=expect)).is_met


def test_an_unsaid_empty_capture_fails_its_case(monkeypatch):
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH))
    case = Case("guards", "empty", lambda: Subject(model, RUN, list), expect="none")
    monkeypatch.setattr(runner, "capture", lambda subject: runner.Seen([RUN(model).detach()], [], ()))
    result = run_case(case)
    assert "there is no trace" in result.faults
    assert not result.is_met


def test_gradients_of_other_bits_fail_a_case(monkeypatch):
    honest, passes = runner.gradients, []

    def drifting(subject):
        found = honest(subject)
        passes.append(None)
        if len(passes) == 2:
            found[1].flatten()[0] += 1e-6
        return found

    monkeypatch.setattr(runner, "gradients", drifting)
    result = run_case(Case("guards", "kernels", subject_of_kernels))
    assert "differ in training" in "; ".join(result.faults)


def test_what_is_left_behind_is_named():
    model = written(Gqa)
    before = state_of(model)
    assert left_behind(before, state_of(model)) == []
    handle = model.layers[0].register_forward_hook(lambda *_: None)
    assert left_behind(before, state_of(model)) == ["layers.0 hooks"]
    handle.remove()
    model.forward = model.forward
    assert left_behind(before, state_of(model)) == [" attributes"]


def test_a_single_changed_bit_is_noticed():
    a = [torch.tensor([1.0, float("nan")])]
    assert same_bits(a, copy.deepcopy(a))
    assert not same_bits(a, [torch.nextafter(a[0], torch.tensor(2.0))])
