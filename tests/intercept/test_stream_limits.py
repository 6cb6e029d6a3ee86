"""What the streaming pass may not do: take memory for whole matrices, touch the model, or need Numba."""

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.intercept.rows_by_hand import facts

import headscape
from headscape.intercept import compiled_rows, gathered, plain_rows, rows, stream
from headscape.intercept.keeping import Keeping
from headscape.intercept.rows import Scores, Written
from headscape.trace.measure import keep_top

SRC = Path(headscape.__file__).parents[1]


def source_of(query=512, head=4, width=16, *, batch=1):
    torch.manual_seed(0)
    return Scores(*(torch.randn(batch, head, query, width) for _ in range(2)), is_causal=True)


def assert_same(found, expected, atol=2e-6):
    for name, array in expected.present().items():
        if name != "keys":
            np.testing.assert_allclose(found.present()[name], array, rtol=1e-4, atol=atol, err_msg=name)


@pytest.mark.parametrize("road", [plain_rows.take_blocks, compiled_rows.take_compiled])
@pytest.mark.parametrize("keep", [8, {"threshold": 0.05}, {"nucleus": 0.01}], ids=str)
def test_no_buffer_holds_a_matrix(monkeypatch, road, keep):
    sizes, tensors = [], []

    def noted(shape, dtype, fill=0):
        sizes.append(int(np.prod(shape)))
        return np.full(shape, fill, dtype)

    def weights_of(*args):
        found = real(*args)
        tensors.append(found[0].numel())
        return found

    real = plain_rows.weights_of
    for module in (gathered, compiled_rows):
        monkeypatch.setattr(module, "allocate", noted)
    monkeypatch.setattr(plain_rows, "weights_of", weights_of)
    monkeypatch.setattr(plain_rows, "BLOCK_FLOATS", 32 * 1024)
    monkeypatch.setattr(compiled_rows, "SCORE_FLOATS", 32 * 1024)
    monkeypatch.setattr(compiled_rows, "LIST_ROOM", 32 * 1024)
    source = source_of(512)
    road(source, Keeping.of(keep), facts(1, 512, 512))
    matrix = 512 * 512
    assert sizes
    assert max(sizes) < matrix / 2
    assert sum(tensors) >= 4 * matrix / 2 if road is plain_rows.take_blocks else not tensors
    assert max(tensors, default=0) < matrix / 2
    sizes.clear()
    road(source, Keeping.of("all"), facts(1, 512, 512))  # the guard sees a matrix where there is one
    assert max(sizes) == 4 * matrix


def test_large_calls_take_the_kernel_and_small_ones_do_not_load_it():
    program = """
        import sys, numpy as np, torch
        from headscape.intercept.keeping import Keeping
        from headscape.intercept.rows import Scores
        from headscape.intercept.stream import gather
        from headscape.trace.measure import Facts
        def run(n, dtype=torch.float32):
            nothing = np.zeros((1, n), bool)
            facts = Facts(nothing, nothing, None, np.zeros((1, 4, n), np.float32))
            q = torch.randn(1, 2, n, 4, dtype=dtype)
            gather(Scores(q, q), Keeping.of(3), facts)
            return "numba" in sys.modules
        print(run(100), run(800, torch.float64), run(800))
    """
    assert run_python(program) == "False False True"


def run_python(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": str(SRC), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_numba_plain_torch_does_the_work_and_the_reason_is_told():
    program = """
        import sys
        sys.modules["numba"] = None
        import numpy as np, torch
        from headscape.intercept import stream
        from headscape.intercept.keeping import Keeping
        from headscape.intercept.rows import Scores
        from headscape.trace.measure import Facts
        nothing = np.zeros((1, 800), bool)
        facts = Facts(nothing, nothing, None, np.zeros((1, 4, 800), np.float32))
        q = torch.randn(1, 2, 800, 4)
        found = stream.gather(Scores(q, q), Keeping.of(800), facts)
        print(abs(found.weights.sum(-1) - 1).max() < 1e-4, stream.kernel_fault()[:19])
    """
    assert run_python(program) == "True ModuleNotFoundError"


def test_a_kernel_that_computes_something_else_is_not_used(monkeypatch):
    stream.kernel_fault.cache_clear()
    real = compiled_rows.take_compiled

    def wrong(*args):
        found = real(*args)
        found.received[...] += 1
        return found

    monkeypatch.setattr("headscape.intercept.trial.take_compiled", wrong)
    assert stream.kernel_fault() == "the compiled kernel and torch differ in received"
    stream.kernel_fault.cache_clear()
    monkeypatch.undo()
    assert stream.kernel_fault() is None


def test_code_is_compiled_where_no_folder_may_be_written():
    program = """
        from numba.core import caching
        caching.CacheImpl._locator_classes = []
        from headscape.intercept.lanes import highest_of
        import numpy as np
        print(highest_of(np.arange(64, dtype=np.float32)))
    """
    assert run_python(program) == "63.0"


def test_the_same_call_gives_the_same_bits_whatever_the_threads():
    source, threads = source_of(300, 5, batch=2), torch.get_num_threads()
    try:
        first = compiled_rows.take_compiled(source, Keeping.of(9), facts(2, 300, 300))
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            again = compiled_rows.take_compiled(source, Keeping.of(9), facts(2, 300, 300))
            for name in ("keys", "weights", "kept", "entropy", "distance", "first_key", "largest"):
                np.testing.assert_array_equal(getattr(again, name), getattr(first, name), err_msg=name)
            np.testing.assert_allclose(again.received, first.received, rtol=1e-5)
    finally:
        torch.set_num_threads(threads)


def test_two_threads_may_gather_at_once():
    source = source_of(600)
    expected = compiled_rows.take_compiled(source, Keeping.of(5), facts(1, 600, 600))
    found = []

    def work():
        found.extend(stream.gather(source, Keeping.of(5), facts(1, 600, 600)) for _ in range(4))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 12
    for arrays in found:
        assert_same(arrays, expected)


@pytest.mark.parametrize("query", [40, 600])
def test_arguments_random_numbers_and_the_graph_are_left_alone(query):
    source = source_of(query)
    source.query.requires_grad_()
    mask = torch.randn(query, query)
    before = [t.detach().clone() for t in (source.query, source.key, mask)]
    state = torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        found = stream.gather(
            Scores(source.query, source.key, mask, True), Keeping.of(4), facts(1, query, query)
        )
    expected = plain_rows.take_blocks(
        Scores(source.query.detach(), source.key, mask, True), Keeping.of(4), facts(1, query, query)
    )
    assert_same(found, expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, (source.query, source.key, mask), strict=True))
    assert source.query.grad_fn is None
    assert source.query.grad is None


def test_a_top_k_cut_later_equals_one_kept_at_once():
    weights = torch.softmax(torch.randn(1, 3, 50, 90), -1)
    whole = stream.gather(Written(weights), Keeping.of("all"), facts(1, 50, 90))
    cut, kept = keep_top(whole, 7), stream.gather(Written(weights), Keeping.of(7), facts(1, 50, 90))
    np.testing.assert_array_equal(cut.keys, kept.keys)
    np.testing.assert_array_equal(cut.weights, kept.weights)
    np.testing.assert_allclose(cut.kept, kept.kept, rtol=1e-6)


@pytest.mark.parametrize(("head", "key_head"), [(6, 6), (6, 2), (4, 1)])
def test_value_norms_are_those_of_the_projected_values(head, key_head):
    torch.manual_seed(0)
    value, projection = torch.randn(2, key_head, 9, 5), torch.randn(11, head * 5)
    found = rows.value_norms(value, projection)
    whole = value.double().repeat_interleave(head // key_head, 1)
    direct = torch.einsum("bhkw,ohw->bhko", whole, projection.double().view(11, head, 5)).norm(dim=-1)
    np.testing.assert_allclose(found, direct.numpy(), rtol=2e-6)
