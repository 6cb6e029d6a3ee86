"""Work of headscape's own that modes and hooks of the user's do not see, and cannot change."""

from contextlib import ExitStack
from types import TracebackType

import torch
from torch.utils._python_dispatch import _disable_current_modes


class unseen:
    """Run side work in the middle of the user's program.

    No function mode, dispatch mode (counting flops, say) or tensor subclass sees what runs in it, and nothing
    it saves for its own gradients reaches hooks on saved tensors, of which checkpointing sets some.
    """

    __slots__ = ("_functions", "_more")

    def __enter__(self) -> None:
        self._functions = torch._C.DisableTorchFunction()
        self._functions.__enter__()
        self._more: ExitStack | None = None
        watched = torch._C._autograd._top_saved_tensors_default_hooks(False) is not None
        if watched or torch._C._len_torch_dispatch_stack():
            self._more = ExitStack()
            if torch._C._len_torch_dispatch_stack():
                self._more.enter_context(_disable_current_modes())
            if watched:
                own = torch.Tensor.detach  # not the identity: a tensor its own graph holds is never freed
                self._more.enter_context(torch.autograd.graph.saved_tensors_hooks(own, own))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._more is not None:
            self._more.close()
        self._functions.__exit__(kind, error, where)
