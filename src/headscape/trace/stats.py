"""What is measured of a call while it is captured: exact statistics of rows, and norms of what meets."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TokenFlow:
    """What meets at a token when an attention call's result joins the residual stream.

    Each is a (query,) float32 array of Euclidean norms, >= 0; NaN where it was not seen.

    Attributes
    ----------
    residual
        Norm of the state to which the attention output is added.
    attention
        Norm of the attention module's output (all heads and the output bias).
    stream
        Norm of the state to which the next feed-forward output is added.
    feed_forward
        Norm of that feed-forward output.
    """

    residual: Floats
    attention: Floats
    stream: Floats
    feed_forward: Floats

    @property
    def attention_share(self) -> Floats:
        """Attention's part of what meets: ``attention / (residual + attention)``, 0 to 1, (query,)."""
        return self.attention / (self.residual + self.attention)

    @property
    def feed_forward_share(self) -> Floats:
        """Feed-forward's part: ``feed_forward / (stream + feed_forward)``, 0 to 1, (query,)."""
        return self.feed_forward / (self.stream + self.feed_forward)


@dataclass(frozen=True)
class CallStats:
    """Exact statistics of every row over all its keys, whatever was kept.

    Rows of padded queries are NaN. ``entropy`` is in bits (0 = one key, log2(K) = all alike), ``distance``
    in tokens (mean of ``|query - key|``; for cross-attention positions of two sequences are compared),
    ``first_key`` and ``largest`` are shares of the row, 0 to 1: all four (batch, head, query) float32.
    ``received`` (batch, head, key) float32 is the attention a key gets, summed over real queries.
    """

    entropy: Floats
    distance: Floats
    first_key: Floats
    largest: Floats
    received: Floats
