"""Which module is running, read from the Python frames at the moment of capture."""

import sys
from types import FrameType
from typing import Any

from torch import nn

# Prefixes that wrappers put before the names a user knows.
_WRAPPED = ("_orig_mod.", "module.", "base_model.model.")


class Names:
    """Dotted names of a model's modules, looked up by walking the stack.

    Walking costs only where attention runs, needs no hook, and is right for shared layers and for modules
    whose ``forward`` is called directly.
    """

    def __init__(self, root: nn.Module) -> None:
        self._modules: dict[int, tuple[str, nn.Module]] = {}
        for name, module in root.named_modules():
            self._modules.setdefault(id(module), (user_name(name), module))

    def running(self) -> str:
        """Return the name of the innermost of the model's modules on the stack; "" for the root."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            owner: Any = frame.f_locals.get("self") if "self" in frame.f_code.co_varnames else None
            known = self._modules.get(id(owner)) if isinstance(owner, nn.Module) else None
            if known is not None and known[1] is owner:
                return known[0]
            frame = frame.f_back
        return ""

    def all(self) -> list[tuple[str, nn.Module]]:
        """Return (name, module) of every module, the root first."""
        return list(self._modules.values())


def user_name(name: str) -> str:
    """Return a dotted name without the prefixes of wrappers such as torch.compile or DataParallel."""
    changed = True
    while changed:
        changed = False
        for prefix in _WRAPPED:
            if name == prefix[:-1]:
                return ""
            if name.startswith(prefix):
                name, changed = name[len(prefix) :], True
    return name
