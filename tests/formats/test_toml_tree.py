from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import Tokens, apply_overrides, build, parse_tokens, read_toml, to_table


@dataclass(frozen=True, kw_only=True)
class Leaf:
    name: str
    size: Tokens = Tokens(0)
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tree:
    title: str
    count: int = 1
    on: bool = False
    kind: Literal["red", "green"] = "red"
    data: int | Literal["auto"] = "auto"
    pair: tuple[float, float] = (0.0, 1.0)
    path: Path | None = None
    leaf: tuple[Leaf, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (0, 0), (50000, 50000), ("50k", 50000), ("1.5M", 1_500_000), ("103B", 103 * 10**9), ("2T", 2 * 10**12),
        ("1_000", 1000), ("1.001k", 1001), ("9.007199254740993T", 9_007_199_254_740), ("7 k", 7000),
    ],
)  # fmt: skip
def test_tokens_are_exact(text: object, tokens: int) -> None:
    if text == "9.007199254740993T":  # 2**53 + 1 as a fraction of T: no whole number
        with pytest.raises(InputError):
            parse_tokens(text, "k")
    else:
        assert parse_tokens(text, "k") == tokens


@pytest.mark.parametrize("text", ["", "k", "1.5", "-1", -1, True, 1.5, "1.0005k", "12 tokens", None, [1]])
def test_what_is_no_number_of_tokens(text: object) -> None:
    with pytest.raises(InputError, match=r'stage\.broad\.tokens is .*"50k"'):
        parse_tokens(text, "stage.broad.tokens")


def test_a_whole_tree() -> None:
    table: dict[str, Any] = {
        "title": "t", "count": 3, "on": True, "kind": "green", "data": 4, "pair": [0, 0.5], "path": "a/b",
        "leaf": [{"name": "x", "size": "2k"}, {"name": "y", "rate": 1}], "weights": {"a": 1, "b": 0.5},
    }  # fmt: skip
    tree = build(Tree, table)
    assert tree == Tree(
        title="t", count=3, on=True, kind="green", data=4, pair=(0.0, 0.5), path=Path("a/b"),
        leaf=(Leaf(name="x", size=Tokens(2000)), Leaf(name="y", rate=1.0)), weights={"a": 1.0, "b": 0.5},
    )  # fmt: skip
    assert isinstance(tree.weights["a"], float)
    assert build(Tree, to_table(tree)) == tree
    assert "path" not in to_table(Tree(title="t")), "a key that is None has no place in TOML"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuont": 1}, "Unknown key cuont: did you mean 'count'?"),
        ({"count": "three"}, "count is 'three'; it needs a whole number."),
        ({"count": True}, "count is True; it needs a whole number."),
        ({"count": 1.0}, "count is 1.0; it needs a whole number."),
        ({"on": 1}, "on is 1; it needs true or false."),
        ({"kind": "gren"}, 'kind is \'gren\'; it needs one of "red", "green": did you mean \'green\'?'),
        ({"data": "atuo"}, 'data is \'atuo\'; it needs a whole number or "auto".'),
        ({"pair": [1]}, "pair has 1 elements; it needs 2."),
        ({"pair": 1}, "pair is 1; it needs a list"),
        ({"pair": [0.1, "x"]}, "pair.1 is 'x'; it needs a number."),
        ({"pair": [0.1, float("nan")]}, "pair.1 is nan; it needs a finite number."),
        ({"leaf": [{"name": "x", "size": "many"}]}, "leaf.x.size is 'many'"),
        ({"leaf": [{"size": 1}]}, "The key leaf.0.name is missing"),
        ({"leaf": [5]}, "leaf.0 is 5; it needs a table of keys"),
        ({"weights": {"a": "b"}}, "weights.a is 'b'; it needs a number."),
        ({"weights": 1}, "weights is 1; it needs a table of keys"),
        ({"leaf": [{"name": "x", "rate": "fast"}]}, "leaf.x.rate is 'fast'; it needs a number."),
    ],
)
def test_wrong_keys_and_types_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Tree, {"title": "t", **change})
    assert message in str(caught.value)


def test_a_missing_key() -> None:
    with pytest.raises(InputError, match="The key title is missing; it has no default"):
        build(Tree, {})


def test_overrides() -> None:
    table: dict[str, Any] = {"leaf": [{"name": "x"}, {"name": "y"}], "weights": {}}
    plain = ["title=plain words", "eq=a=b", "empty="]
    apply_overrides(table, [*plain, "leaf.y.rate=1e-4", "weights.a=2", "new.deep.key=[1, 2]", 'kind="red"'])
    assert table == {
        "title": "plain words", "leaf": [{"name": "x"}, {"name": "y", "rate": 1e-4}], "weights": {"a": 2},
        "new": {"deep": {"key": [1, 2]}}, "kind": "red", "eq": "a=b", "empty": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("title", "not of the form key.key=value"),
        ("=1", "not of the form key.key=value"),
        ("leaf.z.rate=1", "leaf.z, but no element has that name"),
        ("leaf.rate=1", "name one of its elements (xx, yy), as in leaf.NAME.KEY=VALUE"),
        ("title.a=1", "inside title, but that is the value 't'"),
        ("title.a.b=1", "inside title, but that is the value 't'"),
    ],
)
def test_overrides_that_lead_nowhere(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        apply_overrides({"title": "t", "leaf": [{"name": "xx"}, 5, {"name": "yy"}]}, [override])
    assert message in str(caught.value) and override in str(caught.value)


def test_read_toml(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text("a = 1")
    assert read_toml(tmp_path / "good.toml") == {"a": 1}
    with pytest.raises(InputError, match=r"no recipe at .*god\.toml: did you mean 'good\.toml'"):
        read_toml(tmp_path / "god.toml")
    with pytest.raises(InputError, match=r"the folder .* holds no \.toml"):
        (tmp_path / "empty").mkdir()
        read_toml(tmp_path / "empty" / "a.toml")
    (tmp_path / "bad.toml").write_text("a = 1\nb = \n")
    with pytest.raises(InputError, match=r"bad\.toml is not TOML: .*line 2"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(InputError, match=r"latin\.toml is not TOML"):
        read_toml(tmp_path / "latin.toml")
