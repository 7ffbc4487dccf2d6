"""Check the layers of the native sources: an include may point to its own layer or to the one below.

The driver sees the kernels through their table alone. An inline function that the driver shared with a kernel
could be compiled for AVX-512 and then be called on a processor that lacks it.
"""

import re
import sys
from pathlib import Path

ALLOWED = {
    "kernel": ("kernel/",),
    "driver": ("driver/", "kernel/table.hpp"),
    "bind": ("bind/", "driver/", "xla/"),
}


def violations(native: Path) -> list[str]:
    """Return one line for each include that crosses a layer."""
    found = []
    for layer, allowed in ALLOWED.items():
        for path in sorted((native / layer).iterdir()):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                include = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if include and not include[1].startswith(allowed):
                    found.append(
                        f"{path}:{number}: {layer}/ may include {', '.join(allowed)}, not {include[1]}"
                    )
    return found


if __name__ == "__main__":
    lines = violations(Path(__file__).parent)
    print("\n".join(lines), file=sys.stderr)
    sys.exit(bool(lines))
