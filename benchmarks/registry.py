"""The whole registry, in the order of the table."""

import frameworks  # noqa: F401 (enters its workloads)
import matrices  # noqa: F401 (the same)
from workloads import REGISTRY

__all__ = ["REGISTRY"]
