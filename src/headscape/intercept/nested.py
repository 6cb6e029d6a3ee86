"""Nested tensors: examples of several lengths without padding, as torch.nn's fast path makes them."""

from typing import Any

import torch
from torch import Tensor

from headscape.intercept.places import Places
from headscape.intercept.shadows import Beside


class Nested:
    """Places of nested tensors, kept as (batch, padded length)."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._known: Beside[tuple[Tensor | None, int]] = Beside()

    def put(self, tensor: Tensor, codes: Tensor | None, length: int) -> None:
        """Note the (batch, length) places of a nested tensor before its padding was taken out."""
        self._known.put(tensor, (codes, length))

    def follow(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """See padding taken out and put back."""
        if name == "_nested_tensor_from_mask":
            self.put(result, self._places.rows(args[0]), int(args[0].shape[1]))
        elif (
            name == "to_padded_tensor" and isinstance(result, Tensor) and (known := self._known.get(args[0]))
        ):
            codes, _ = known
            if codes is not None and codes.shape[1] >= result.shape[1]:
                self._places.put(result, codes[:, : result.shape[1]].unsqueeze(-1).expand(result.shape))

    def places(self, state: Tensor) -> tuple[Tensor | None, Tensor | None, int]:
        """Return (batch, token) places of a state, the length of each example if nested, the full length."""
        if not state.is_nested:
            return self._places.rows(state), None, int(state.shape[1])
        lengths = torch.tensor([part.shape[0] for part in state.unbind()], device=state.device)
        codes, full = self._known.get(state) or (None, int(lengths.max()))
        return codes, lengths, max(full, int(lengths.max()))
