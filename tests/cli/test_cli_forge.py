import json

import pytest

from megatron_heph.cli.main import main

RECIPE = """
name = "cli"
output = "{output}"
heldout = {{ share = 0.5 }}
licences = {{ allow = ["Apache-2.0"] }}
[[reader]]
kind = "botocore_models"
name = "aws"
domain = "agent"
services = ["sqs", "sts"]
heldout = ["aws/sts"]
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "forge.toml"
    path.write_text(RECIPE.format(output=tmp_path / "corpus"))
    return path


def test_forge_then_again_then_with_another_recipe(recipe, tmp_path, capsys):
    assert main(["forge", str(recipe)]) == 0
    captured = capsys.readouterr()
    assert "agent    aws            train" in captured.out and "Apache-2.0" in captured.out
    assert (
        captured.err == f"aws: 2/2 units, {captured.err.split('units, ')[1]}"
    )  # one plain line: no terminal

    assert main(["forge", str(recipe)]) == 0
    assert "stands already" in capsys.readouterr().out
    assert main(["forge", str(recipe), "seed=1"]) == 3
    assert "--force replaces it" in capsys.readouterr().err
    assert main(["forge", str(recipe), "seed=1", "--force", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["made"] and report["domains"]["agent"]["heldout"]["documents"] > 0


def test_wrong_input_is_exit_2_and_one_message(recipe, tmp_path, capsys):
    assert main(["forge", str(tmp_path / "forge.tml")]) == 2
    assert "did you mean 'forge.toml'" in capsys.readouterr().err
    assert main(["forge", str(recipe), "reader.aws.servces=['s3']"]) == 2
    assert "did you mean 'services'" in capsys.readouterr().err


def test_inspect_a_corpus(recipe, tmp_path, capsys):
    corpus = str(tmp_path / "corpus")
    assert main(["inspect", "corpus", corpus]) == 2
    assert "no finished corpus" in capsys.readouterr().err
    assert main(["forge", str(recipe)]) == 0
    capsys.readouterr()

    assert main(["inspect", "corpus", corpus, "--show", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("──────── aws/sqs/") == 2 and out.count("## Parameters") == 2
    assert main(["inspect", "corpus", corpus, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "cli"
    assert main(["inspect", "corpus", corpus, "--source", "asw"]) == 2
    assert "did you mean 'aws'" in capsys.readouterr().err
