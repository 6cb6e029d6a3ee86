"""After every test of capture: no mode, no patched function, no thread's count is left."""

import pytest
import torch
import torch.overrides

_ORIGINAL = torch.overrides.has_torch_function


@pytest.fixture(autouse=True)
def _nothing_of_a_capture_is_left():
    yield
    assert torch.overrides.has_torch_function is _ORIGINAL
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch._C._len_torch_dispatch_stack() == 0
    assert torch.compiler.is_compiling() is False
