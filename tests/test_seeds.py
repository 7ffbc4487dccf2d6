"""Tests that pages, examples and benchmarks seed their random data.

Unseeded data make a page fail at times.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SOURCES = [
    p for folder in ("examples", "benchmarks", "docs/site") for p in sorted((ROOT / folder).rglob("*.py"))
]

TORCH = r"(manual_seed|set_seed|seed_everything)\("
KERAS = r"set_random_seed\("
TENSORFLOW = r"(set_random_seed|set_seed)\("
NEVER = r"(?!)"

# Calls that draw from a framework's global generator, and the call that must come before them.
DRAWS = {
    r"torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial)(_like)?\(": TORCH,
    r"(tf|keras)\.random\.(normal|uniform|shuffle|randint)\(": TENSORFLOW,
    r"default_rng\(\)|RandomState\(\)": NEVER,
    r"np\.random\.(rand|randn|randint|normal|random|permutation|shuffle|choice)\(": NEVER,
    r"(?<![.\w])random\.(random|randint|shuffle|choice|sample|uniform|gauss)\(": r"random\.seed\(",
}
# Calls that create weights, and the call that seeds them. A class may be defined before that call.
WEIGHTS = {
    r"\bnn\.(Linear|Conv\dd|Embedding|Bilinear|LSTM|GRU|Transformer\w*|MultiheadAttention)\(": TORCH,
    r"keras\.layers\.(Dense|Conv\dD|Embedding|LSTM|GRU|Dropout)\(": KERAS,
}


def unseeded(code: str) -> list[str]:
    """Return the lines that draw random numbers without a seed."""
    found = []
    for kinds, anywhere in ((DRAWS, False), (WEIGHTS, True)):
        for draw, seed in kinds.items():
            for match in re.finditer(draw, code):
                line = code[code.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0]
                within = code if anywhere else code[: match.start()]
                if "generator=" not in line and not re.search(seed, within):
                    found.append(line)
    return found


@pytest.mark.parametrize(
    "draw",
    [
        "x = torch.randn(3)",
        "order = torch.randperm(3)",
        "layer = torch.nn.Linear(2, 2)",
        "layer = keras.layers.Dense(2)",
        "x = tf.random.normal((2,))",
        "rng = np.random.default_rng()",
        "x = np.random.rand(2)",
        "random.shuffle(rows)",
    ],
)
def test_unseeded_numbers_are_found(draw: str) -> None:
    assert unseeded(f"import torch\n{draw}\n") == [draw]


@pytest.mark.parametrize(
    "code",
    [
        "torch.manual_seed(0)\nx = torch.randn(3)\n",
        "x = torch.randn(3, generator=generator)\n",
        "layer = nn.Linear(2, 2)\ntorch.manual_seed(0)\n",
        "rng = np.random.default_rng(0)\n",
    ],
)
def test_seeded_numbers_are_left_alone(code: str) -> None:
    assert unseeded(code) == []


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_random_data_are_seeded(path: Path) -> None:
    text = path.read_text()
    if path.suffix == ".md":
        text = "".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert unseeded(text) == []
