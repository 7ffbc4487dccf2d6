"""The dtypes of results under `torch.autocast`. They are the dtypes that PyTorch's own functions return.

Like `torch.nn.functional.cosine_embedding_loss`, the losses return float32 for half types on every device. A
`GradScaler` multiplies the loss by 65536, which is too large for float16. Like `cosine_similarity` and
`normalize` of `torch.nn.functional`, the functions of rows return float32 on every device except the CPU.
"""

from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def active(device_type: str) -> bool:
    """Return whether autocast is enabled for this type of device."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def loss_dtype(dtype: torch.dtype, device_type: str) -> torch.dtype:
    """Return the result dtype of a loss for tensors of this dtype."""
    return torch.float32 if dtype in HALF and active(device_type) else dtype


def row_dtype(dtype: torch.dtype, device_type: str) -> torch.dtype:
    """Return the result dtype of a function of rows for tensors of this dtype."""
    return dtype if device_type == "cpu" else loss_dtype(dtype, device_type)


def for_loss(x: Any) -> Any:
    """Return a tensor in the dtype of its loss. Other objects are unchanged; later checks handle them."""
    if isinstance(x, Tensor) and x.dtype in HALF and x.layout is torch.strided:
        return x.to(loss_dtype(x.dtype, x.device.type))
    return x


def for_rows(x: Any) -> Any:
    """Return a tensor in the dtype of a function of its rows. Other objects are unchanged."""
    if isinstance(x, Tensor) and x.dtype in HALF and x.layout is torch.strided:
        return x.to(row_dtype(x.dtype, x.device.type))
    return x
