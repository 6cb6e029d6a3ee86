"""Names of torch's functions, whichever way they are called, and what kind of thing each of them does."""

import functools
from typing import Any

_DUNDERS = {
    "__getitem__": "getitem", "__matmul__": "matmul", "__rmatmul__": "rmatmul", "__add__": "add",
    "__radd__": "add", "__iadd__": "add_", "__sub__": "sub", "__rsub__": "rsub", "__isub__": "sub_",
    "__mul__": "mul", "__rmul__": "mul", "__imul__": "mul_", "__truediv__": "div", "__div__": "div",
    "__itruediv__": "div_", "__idiv__": "div_", "__pow__": "pow", "__neg__": "neg", "__setitem__": "setitem",
    "_unsafe_view": "view", "_reshape_alias": "reshape", "_softmax": "softmax", "_log_softmax": "log_softmax",
    "_safe_softmax": "softmax", "_masked_softmax": "softmax", "_to_copy": "to", "lift_fresh": "alias",
    "native_layer_norm": "layer_norm", "native_dropout": "dropout", "dropout_": "dropout",
    "concat": "cat", "concatenate": "cat", "swapaxes": "transpose", "swapdims": "transpose",
    "special_softmax": "softmax", "multiply": "mul", "divide": "div", "true_divide": "div", "subtract": "sub",
    "arccos": "acos", "slice_copy": "slice", "expand_copy": "expand", "view_copy": "view",
}  # fmt: skip


@functools.lru_cache(maxsize=4096)
def name_of(function: Any) -> str:
    """Return the plain name of a torch function, method, property getter or operator overload."""
    packet = getattr(function, "overloadpacket", None) or getattr(function, "_overloadpacket", None)
    name = getattr(packet if packet is not None else function, "__name__", "")
    if name == "__get__":  # a property such as Tensor.T
        name = getattr(getattr(function, "__self__", None), "__name__", "")
    return _DUNDERS.get(name, name)


# What only moves elements about: the same function moves whatever is laid beside the tensor.
MOVES = frozenset({
    "view", "reshape", "permute", "transpose", "t", "T", "mT", "H", "mH", "movedim", "moveaxis", "flatten",
    "unflatten", "ravel", "squeeze", "unsqueeze", "expand", "expand_as", "broadcast_to", "repeat",
    "repeat_interleave", "tile", "getitem", "select", "narrow", "slice", "split", "split_with_sizes", "chunk",
    "unsafe_chunk", "unsafe_split", "unbind", "tensor_split", "hsplit", "vsplit", "dsplit", "roll", "flip",
    "index_select", "gather", "take_along_dim", "unfold", "as_strided", "view_as", "reshape_as", "diagonal",
    "cat", "stack", "hstack", "vstack", "dstack", "squeeze_", "unsqueeze_", "transpose_", "t_", "rot90",
    "adjoint", "pixel_unshuffle", "pixel_shuffle", "index", "atleast_2d", "atleast_3d",
})  # fmt: skip
PADS = frozenset({"pad", "constant_pad_nd"})
# What hands over the same elements, cast or copied.
COPIES = frozenset({
    "clone", "contiguous", "to", "float", "half", "bfloat16", "double", "detach", "alias", "type_as", "type",
    "cuda", "cpu", "requires_grad_", "refine_names", "rename", "positive", "detach_", "data",
})  # fmt: skip
PRODUCTS = frozenset({
    "matmul", "rmatmul", "bmm", "mm", "mv", "einsum", "baddbmm", "baddbmm_", "addbmm", "addmm", "linear",
    "inner", "cdist",
})  # fmt: skip
# Between scores and weights: what bends a row of scores into a row of weights.
BENDS = frozenset({
    "softmax", "log_softmax", "softmin", "exp", "exp_", "exp2", "sigmoid", "sigmoid_", "relu", "relu_",
    "relu6", "softplus", "elu", "gelu", "silu", "leaky_relu", "gumbel_softmax", "clamp", "clamp_",
    "clamp_min", "clamp_min_", "abs", "square", "pow", "pow_", "acos", "erf", "hardsigmoid", "logsigmoid",
    "expm1", "sqrt",
    "threshold", "normalize", "_nested_tensor_softmax_with_shape", "masked_softmax",
})  # fmt: skip
# These keep the shape but mix elements: scores and weights end here.
MIXES = frozenset({
    "layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "cumsum", "cumprod", "sort",
    "conv1d", "conv2d", "conv3d", "embedding", "fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "fft_fft2",
    "flip", "cumsum_", "logcumsumexp", "bernoulli", "zeros_like", "ones_like", "empty_like", "full_like",
    "rand_like", "randn_like", "zero_", "fill_", "new_zeros", "new_empty", "new_ones", "linalg_inv",
    "pinverse", "linalg_pinv", "multi_head_attention_forward", "scaled_dot_product_attention", "isnan",
    "argsort",
})  # fmt: skip
POOLS = frozenset({
    "conv1d", "conv2d", "conv3d", "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate",
    "boolean_dispatch", "_max_pool1d", "_max_pool2d", "conv_transpose1d", "conv_transpose2d", "convolution",
    "adaptive_max_pool1d", "adaptive_max_pool2d",
})  # fmt: skip
ADDS = frozenset({"add", "sum_of"})
ADDS_IN_PLACE = frozenset({"add_"})
DROPS = frozenset({"dropout", "feature_alpha_dropout", "alpha_dropout", "dropout1d", "dropout2d"})
NORMS = frozenset({"layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm"})
# These change a part of their first tensor and may return nothing.
WRITES = frozenset({"setitem", "index_copy_", "copy_", "index_put_"})
