"""The ring of the ranks of a group: every rank receives the blocks of all other ranks, one after another."""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from cosgrad.torch._arguments import ShapeError

FACTS = 16  # the length of a row in the table of facts that the ranks exchange
Passing = tuple[int, list[Tensor], list[Tensor]]


class Ring:
    """The ranks of a group. Each rank holds one block of columns. Without a group there is one rank.

    Args:
        group: A group of `torch.distributed`, or None.
        sizes: The number of columns of each rank's block.
        averaged: The caller averages the gradients over the ranks, as `DistributedDataParallel` does.
    """

    rank, ranks = 0, 1

    def __init__(
        self, group: dist.ProcessGroup | None, sizes: Sequence[int], *, averaged: bool = False
    ) -> None:
        self.group = group
        self.averaged = averaged
        self.sizes = list(sizes)
        if group is not None:
            self.rank, self.ranks = dist.get_rank(group), dist.get_world_size(group)

    @property
    def start(self) -> list[int]:
        """The first column of each rank's block in the whole batch."""
        return [sum(self.sizes[:rank]) for rank in range(self.ranks)]

    def sum(self, t: Tensor) -> Tensor:
        """Return the sum of t over all ranks."""
        if self.group is not None:
            t = t.clone()
            dist.all_reduce(t, group=self.group)
        return t

    def blocks(self, fixed: Sequence[Tensor], carried: Sequence[Tensor] = ()) -> Iterator[Passing]:
        """Yield (rank, fixed, carried) of every rank's block. This rank's own block is the first.

        Args:
            fixed: Tensors whose first axis is that of the columns. The tensors of the next block are received
                while the caller works on the current block.
            carried: Tensors of the same kind that every rank changes in place before it sends them on. After
                the last step the tensors of this rank have been changed by all ranks.
        """
        at, there, changed = self.rank, list(fixed), list(carried)
        for step in range(self.ranks):
            last = step == self.ranks - 1
            following = (at - 1) % self.ranks
            arriving = [] if last else self._room(fixed, following)
            pending = [] if last else self._pass_on(there, arriving, 0)
            yield at, there, changed
            if self.ranks > 1:
                returning = list(carried) if last else self._room(carried, following)
                pending += self._pass_on(changed, returning, len(fixed))
                changed = returning
            for work in pending:
                work.wait()
            at, there = following, arriving

    def _room(self, like: Sequence[Tensor], rank: int) -> list[Tensor]:
        return [t.new_empty(self.sizes[rank], *t.shape[1:]) for t in like]

    def _pass_on(self, sent: Sequence[Tensor], received: Sequence[Tensor], tag: int) -> list[dist.Work]:
        if not sent:
            return []
        right, left = (self._peer(self.rank + step) for step in (1, -1))
        steps = [
            dist.P2POp(op, t, peer, self.group, tag + i)
            for op, peer, tensors in ((dist.isend, right, sent), (dist.irecv, left, received))
            for i, t in enumerate(tensors)
        ]
        works: list[dist.Work] = dist.batch_isend_irecv(steps)
        return works

    def _peer(self, rank: int) -> int:
        assert self.group is not None
        return dist.get_global_rank(self.group, rank % self.ranks)


def agreed(group: dist.ProcessGroup, device: torch.device, facts: dict[str, float] | None) -> list[int]:
    """Return the numbers of columns of all ranks, after a check that all other facts are equal on all ranks.

    Args:
        group: The group that shares the batch.
        device: The device of the messages.
        facts: Numbers that describe the call, the number of columns first. None if the arguments of this rank
            are invalid.

    Raises:
        RuntimeError: The arguments of another rank are invalid or different.
    """
    names = list(facts or ())
    own = torch.tensor([bool(facts), *(facts or {}).values()], dtype=torch.float64, device=device)
    own = torch.nn.functional.pad(own, (0, FACTS - len(own)))
    table = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(table, own, group=group)
    rows = torch.stack(table).tolist()
    if facts is None:
        return []
    for rank, (fine, _, *values) in enumerate(rows):
        if not fine:
            raise RuntimeError(f"rank {rank} of the group refused its arguments")
        for name, ours, theirs in zip(names[1:], own.tolist()[2:], values, strict=False):
            if ours != theirs:
                raise RuntimeError(
                    f"{name}: {ours:g} on this rank, {theirs:g} on rank {rank}; "
                    "all ranks of the group must call the loss alike"
                )
    sizes = [int(row[1]) for row in rows]
    ignored = facts["ignored columns"]
    if ignored >= 0 and ignored != sum(sizes):
        raise ShapeError(f"ignore has {ignored:.0f} columns, must have those of all ranks, {sum(sizes)}")
    return sizes
