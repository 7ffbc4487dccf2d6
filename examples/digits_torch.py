"""The digits in PyTorch: `python examples/digits_torch.py`."""

import torch
from digits import RATE, Digits, train

from cosgrad.torch.nn import CosineDistanceLoss

data = Digits()
W1, b1, W2, b2 = (torch.tensor(p, requires_grad=True) for p in data.start)
optimizer = torch.optim.SGD([W1, b1, W2, b2], lr=RATE)
criterion = CosineDistanceLoss()


def encode(x):
    return torch.tanh(torch.as_tensor(x) @ W1 + b1) @ W2 + b2


def step(x, codes):
    loss = criterion(torch.as_tensor(codes), encode(x))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


train("PyTorch", step, lambda x: encode(x).detach().numpy(), data)
