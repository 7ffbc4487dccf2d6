"""The dtypes that `torch.autocast` asks for: those that PyTorch's own functions return.

The losses return float32 for half types on every device, as `torch.nn.functional.cosine_embedding_loss`
does: a `GradScaler` multiplies the loss by 65536, which float16 cannot hold. The functions of rows do so on
every device but the CPU, as `cosine_similarity` and `normalize` of `torch.nn.functional` do.
"""

from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def active(device_type: str) -> bool:
    """Tell whether autocast is enabled for this type of device."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def loss_dtype(dtype: torch.dtype, device_type: str) -> torch.dtype:
    """Return the dtype of a loss of tensors of this dtype."""
    return torch.float32 if dtype in HALF and active(device_type) else dtype


def row_dtype(dtype: torch.dtype, device_type: str) -> torch.dtype:
    """Return the dtype of a function of rows of this dtype."""
    return dtype if device_type == "cpu" else loss_dtype(dtype, device_type)


def for_loss(x: Any) -> Any:
    """Return a tensor in the dtype of its loss. Others are left to the checks of arguments."""
    if isinstance(x, Tensor) and x.dtype in HALF and x.layout is torch.strided:
        return x.to(loss_dtype(x.dtype, x.device.type))
    return x


def for_rows(x: Any) -> Any:
    """Return a tensor in the dtype of a function of its rows. Others are left to the checks of arguments."""
    if isinstance(x, Tensor) and x.dtype in HALF and x.layout is torch.strided:
        return x.to(row_dtype(x.dtype, x.device.type))
    return x
