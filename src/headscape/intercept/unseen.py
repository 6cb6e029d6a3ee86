"""Work of headscape's own that modes and hooks of the user's do not see, and cannot change."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def unseen() -> Iterator[None]:
    """Run side work in the middle of the user's program.

    No function mode, dispatch mode (counting flops, say) or tensor subclass sees what runs in it, and nothing
    it saves for its own gradients reaches hooks on saved tensors, of which checkpointing sets some.
    """
    with ExitStack() as stack:
        stack.enter_context(torch._C.DisableTorchFunction())
        if torch._C._len_torch_dispatch_stack():
            stack.enter_context(_disable_current_modes())
        if torch._C._autograd._top_saved_tensors_default_hooks(False) is not None:
            own = torch.Tensor.detach  # not the identity: a tensor that its own graph holds is never freed
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(own, own))
        yield
