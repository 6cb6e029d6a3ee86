"""Which module is running, read from the Python frames at the moment of capture."""

import functools
import sys
from types import FrameType
from typing import Any

from torch import nn

# What wrappers put into the names a user knows, at any place.
_INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


class Names:
    """Dotted names of a model's modules, looked up by walking the stack.

    Walking costs only where attention runs, needs no hook, and is right for shared layers and for modules
    whose ``forward`` is called directly.
    """

    def __init__(self, root: nn.Module) -> None:
        self._modules: dict[int, tuple[str, nn.Module]] = {}
        for name, module in root.named_modules():
            self._modules.setdefault(id(module), (user_name(name), module))

    def running(self) -> tuple[str, int]:
        """Return the name of the innermost of the model's modules on the stack, "" for the root, and its run.

        The run is a number that two calls share only if one execution of the module's ``forward`` made both
        (or that execution has ended).
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            owner: Any = frame.f_locals.get("self") if "self" in frame.f_code.co_varnames else None
            known = self._modules.get(id(owner)) if isinstance(owner, nn.Module) else None
            if known is not None and known[1] is owner:
                return known[0], id(frame)
            frame = frame.f_back
        return "", 0

    def all(self) -> list[tuple[str, nn.Module]]:
        """Return (name, module) of every module, the root first."""
        return list(self._modules.values())


@functools.lru_cache(maxsize=65536)
def user_name(name: str) -> str:
    """Return a dotted name without what wrappers such as torch.compile, DataParallel or PEFT put into it."""
    parts = [part for part in name.split(".") if part not in _INSIDE]
    while parts[:1] == ["module"] or parts[:2] == ["base_model", "model"]:
        parts = parts[1:] if parts[0] == "module" else parts[2:]
    return "" if parts in (["base_model"], ["base_layer"]) else ".".join(parts)
