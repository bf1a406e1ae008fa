"""The quickstart's recipes say what the README says, and the demo is made of commands that exist."""

from __future__ import annotations

import re

import pytest
from support.processes import ROOT

from data_tools.recipe import read_recipe
from megatron_heph.cli.main import COMMANDS
from megatron_heph.recipe.resolve import load_recipe

QUICKSTART = ROOT / "examples" / "quickstart"


def test_the_training_recipe_reads_what_the_forge_and_the_tokenizer_make() -> None:
    recipe, forge = load_recipe(QUICKSTART / "train.toml"), read_recipe(QUICKSTART / "forge.toml", [])
    made = {f"{forge.output}/tokens/{reader.domain}" for reader in forge.readers}
    assert {source.path for source in recipe.data.sources.values()} == made
    held = {f"{forge.output}/tokens/heldout/{domain}" for domain in ("agent", "code", "text")}
    assert set(recipe.data.heldout.values()) == held
    (stage,) = recipe.stage
    assert stage.mixture == {"agent": 0.36, "code": 0.32, "text": 0.32} and stage.tokens == 30_720


def test_what_is_held_out_is_not_trained_on() -> None:
    forge = read_recipe(QUICKSTART / "forge.toml", [])
    text = (QUICKSTART / "forge.toml").read_text()
    services = set(re.findall(r'"aws/([\w-]+)"', text))
    assert len(services) == 17 and forge.heldout.max_characters == 90_000
    for service in services:
        assert f'"{service}"' in text, f"{service} is held out but not read"


@pytest.mark.parametrize("script", ["scripts/demo.sh", "README.md"])
def test_every_command_that_is_shown_exists(script: str) -> None:
    shown = set(re.findall(r"^ *(?:say|\$) heph (\w+)", (ROOT / script).read_text(), re.M))
    assert {"forge", "convert", "tokenize", "plan", "train", "report"} <= shown <= set(COMMANDS)
