"""In the models of the zoo, a head removed as a whole is that head removed edge by edge."""

import numpy as np
import pytest
import torch
from tests.zoo.hf_generation import GENERATION
from tests.zoo.zoo import CASES

from headscape.intercept.recorder import Options
from headscape.intercept.rerun import rerun
from headscape.intercept.shadows import tensors_in
from headscape.probe.edits import Plan, Remover
from headscape.probe.removals import Removal

OPTIONS = Options(values=False, strict=True)
# Several passes with caches between them, and results that are no tensors or nested ones.
SKIPPED = {case.id for case in GENERATION.cases} | {
    "written models/nanoGPT generating with a cache of its own",
    "kernels and modes/sequence of nested tensors",
}
CHOSEN = [case for case in CASES if case.expect == "exact" and case.id not in SKIPPED]


def numbers(found):
    tables = [t for t in tensors_in((list(_items(found.output)),)) if t.is_floating_point()]
    return torch.cat([t.detach().double().nan_to_num(0, 0, 0).reshape(-1) for t in tables if not t.is_nested])


def _items(output):
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        for item in output.values():
            yield from _items(item)
    elif isinstance(output, (tuple, list)):
        for item in output:
            yield from _items(item)


def run(subject, editor=None):
    torch.manual_seed(0)  # some models draw random numbers whenever they run
    return rerun(subject.model, lambda: subject.run(subject.model), OPTIONS, editor)


def removed(subject, base, removal):
    plan = Plan([removal], base.trace.batch, "zero")
    remover = Remover(plan, [seen.place for seen in base.seen], base.trace.calls)
    return numbers(run(subject, remover))


def test_what_is_left_out_is_in_the_zoo():
    assert {case.id for case in CASES} >= SKIPPED
    assert len(CHOSEN) > 200


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of foreign libraries
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id.replace("/", ": ")) for case in CHOSEN])
def test_a_head_is_the_sum_of_its_edges(case):
    torch.manual_seed(0)
    subject = case.make()
    subject.model.eval()
    base = run(subject)
    plain = numbers(base)
    assert torch.equal(plain, numbers(run(subject)))
    call = base.trace.calls[len(base.trace.calls) // 2]
    head = call.shape[1] - 1
    weights = np.max([np.abs(np.nan_to_num(call.weights(e)[head])) for e in range(call.shape[0])], axis=0)
    edges = tuple((call.layer, head, int(q), int(k)) for q, k in np.argwhere(weights > 0))
    whole = removed(subject, base, Removal("heads", ((call.layer, head),)))
    by_edges = removed(subject, base, Removal("edges", edges))
    assert whole.shape == plain.shape
    size = float(plain.abs().max())
    moved = float((whole - plain).abs().max())
    assert moved > 1e-9 * size
    assert float((whole - by_edges).abs().max()) <= max(2e-5 * size, 0.02 * moved)
