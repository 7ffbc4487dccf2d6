"""Modules that hold a process group, and how such a module is copied and saved."""

from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch.nn import Module


@dataclass(frozen=True)
class SavedGroup:
    """The description of the group of a saved module.

    Attributes:
        name: The name that `torch.distributed` gave to the group.
        ranks: The global ranks of its members.
        world: The group was the default group.
    """

    name: str
    ranks: tuple[int, ...]
    world: bool

    def find(self) -> Any:
        """Return the group of this process that has the name and the ranks.

        Raises:
            RuntimeError: There is no such group.
        """
        if dist.is_available() and dist.is_initialized():
            if self.world:
                return dist.group.WORLD
            for group, name in dist.distributed_c10d._world.pg_names.items():
                if name == self.name and tuple(dist.get_process_group_ranks(group)) == self.ranks:
                    return group
        what = "the default process group" if self.world else f"the process group {self.name!r}"
        raise RuntimeError(
            f"group: this module was saved with {what} of the ranks {list(self.ranks)}, which this process "
            "does not have: make it before the first use (torch.distributed.init_process_group, new_group), "
            "or assign another group or None to module.group"
        )


class Holder:
    """Holds a group for a module. A deep copy holds the same group, and a pickle holds its name and ranks."""

    def __init__(self, group: Any) -> None:
        self.group = group

    def __deepcopy__(self, memo: dict[int, Any]) -> "Holder":
        """Return a holder of the same group."""
        return Holder(self.group)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the pickle's description of a holder with the name and the ranks of the group."""
        group = self.group
        if group is None or isinstance(group, SavedGroup):
            return Holder, (group,)
        try:
            ranks = tuple(dist.get_process_group_ranks(group))
        except (KeyError, TypeError, AttributeError):
            return Holder, (SavedGroup(str(getattr(group, "group_name", group)), (), False),)  # destroyed
        return Holder, (SavedGroup(str(group.group_name), ranks, group is dist.group.WORLD),)


class GroupModule(Module):
    """A module whose attribute `group` is a process group or None.

    `copy.deepcopy` keeps the group. A pickle (`torch.save`) keeps its name and ranks. A loaded module looks
    for the group when `group` is first read.
    """

    def __init__(self, group: dist.ProcessGroup | None) -> None:
        super().__init__()
        self.group = group

    @property
    def group(self) -> dist.ProcessGroup | None:
        """The ranks that share the batch, or None.

        Raises:
            RuntimeError: The module was saved with a group that this process does not have.
        """
        holder = self.__dict__.get("_holder")
        if holder is None:  # a pickle of an older version
            holder = self._holder = Holder(self.__dict__.get("group"))
        if isinstance(holder.group, SavedGroup):
            holder = self._holder = Holder(holder.group.find())
        group: dist.ProcessGroup | None = holder.group
        return group

    @group.setter
    def group(self, group: dist.ProcessGroup | None) -> None:
        self._holder = Holder(group)
