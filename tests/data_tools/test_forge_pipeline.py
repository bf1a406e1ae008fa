import hashlib
import json
from pathlib import Path

import pytest

from data_tools.curate.heldout import provider_of
from data_tools.forge import forge
from data_tools.manifest import read_manifest
from data_tools.recipe import build_recipe, read_recipe
from megatron_heph.errors import InputError, RefusedError
from megatron_heph.formats.document import read_documents

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "forge.toml"


def table(output, **changes):
    return {
        "name": "small",
        "output": str(output),
        "licences": {"allow": ["Apache-2.0", "BSD-3-Clause"]},
        "reader": [
            {
                "kind": "botocore_models",
                "name": "aws",
                "domain": "agent",
                "services": ["sqs", "sns", "sts"],
                "heldout": ["aws/sts"],
                "max_documents": 20,
            },
            {
                "kind": "python_code",
                "name": "code",
                "domain": "code",
                "packages": ["jinja2", "markdown"],
                "heldout": ["markdown"],
            },
        ],
        **changes,
    }


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def corpus(tmp_path):
    return forge(build_recipe(table(tmp_path / "corpus"))).folder


def test_the_folder_is_as_the_contract_says(corpus):
    assert set(hashes(corpus)) == {
        "manifest.json",
        "agent/aws-00000.jsonl.zst",
        "code/code-00000.jsonl.zst",
        "heldout/agent/aws-00000.jsonl.zst",
        "heldout/code/code-00000.jsonl.zst",
    }
    assert [path.name for path in corpus.parent.iterdir()] == ["corpus"]  # nothing left beside it


def test_the_manifest_counts_what_is_in_the_files(corpus):
    manifest = read_manifest(corpus)
    for row in manifest["files"]:
        documents = list(read_documents(corpus / row["path"]))
        part = "heldout" if row["path"].startswith("heldout") else "train"
        source = manifest["sources"][documents[0].source][part]
        assert row["documents"] == len(documents) == source["documents"]
        assert source["characters"] == sum(len(document.full_text) for document in documents)
        assert set(source["providers"]) == {provider_of(document) for document in documents}
        assert row["sha256"] == hashes(corpus)[row["path"]]
    assert manifest["domains"]["agent"]["train"]["documents"] == 20
    names = {row["name"]: row for row in manifest["packages"]}
    assert set(names) == {"botocore", "jinja2", "markdown"} and len(names["jinja2"]["sha256"]) == 64


def test_what_was_dropped_and_what_was_kept_is_all_there_was(tmp_path):
    changed = table(tmp_path / "c", licences={"allow": ["Apache-2.0", "BSD-3-Clause"]})
    changed["reader"][0] |= {"longest": 3_000}
    recipe = build_recipe(changed)
    source = forge(recipe).manifest["sources"]["aws"]
    reader = recipe.readers[0]
    read = sum(1 for unit in reader.units() for _ in reader.read(unit))
    dropped = sum(n for reasons in source["dropped"].values() for n in reasons.values())
    assert source["dropped"]["length"]["over 3000 characters"] > 0
    assert source["dropped"]["sample"]["over the source's caps"] > 0
    assert read == dropped + source["train"]["documents"] + source["heldout"]["documents"]


def test_held_out_providers_are_never_trained_on(corpus):
    for domain, source in (("agent", "aws"), ("code", "code")):
        name = f"{domain}/{source}-00000.jsonl.zst"
        train, heldout = (
            {provider_of(d) for d in read_documents(p)} for p in (corpus / name, corpus / "heldout" / name)
        )
        assert train and heldout and not train & heldout


def test_the_same_inputs_give_the_same_bytes(corpus, tmp_path):
    again = forge(build_recipe(table(tmp_path / "again"))).folder
    assert hashes(again) == hashes(corpus)
    other = forge(build_recipe(table(tmp_path / "other", seed=1))).folder
    assert hashes(other)["agent/aws-00000.jsonl.zst"] != hashes(corpus)["agent/aws-00000.jsonl.zst"]


def test_a_finished_corpus_is_left_alone(corpus):
    before = (corpus / "manifest.json").stat().st_mtime_ns
    forged = forge(build_recipe(table(corpus)))
    assert not forged.made and (corpus / "manifest.json").stat().st_mtime_ns == before
    assert forge(build_recipe(table(corpus)), force=True).made


def test_another_recipe_does_not_replace_a_corpus_without_force(corpus):
    before = hashes(corpus)
    with pytest.raises(RefusedError, match="--force"):
        forge(build_recipe(table(corpus, seed=7)))
    assert hashes(corpus) == before
    assert forge(build_recipe(table(corpus, seed=7)), force=True).made


def test_a_folder_that_is_no_corpus_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RefusedError, match="is no corpus"):
        forge(build_recipe(table(tmp_path)), force=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_failing_reader_leaves_the_old_corpus_and_no_half_one(corpus):
    before = hashes(corpus)
    changed = table(corpus)
    changed["reader"][1]["packages"] = ["jinja2"]
    changed["reader"][1]["include"] = ["nothing/*"]
    changed["reader"][1]["heldout"] = []
    with pytest.raises(InputError, match=r"reader\.code leaves no document"):
        forge(build_recipe(changed), force=True)
    assert hashes(corpus) == before and [path.name for path in corpus.parent.iterdir()] == ["corpus"]


def test_shards_are_cut_at_the_limit_and_keep_the_order(corpus, tmp_path):
    cut = forge(build_recipe(table(tmp_path / "cut", shard_characters=20_000))).folder
    shards = sorted((cut / "agent").iterdir())
    assert [shard.name for shard in shards[:2]] == ["aws-00000.jsonl.zst", "aws-00001.jsonl.zst"]
    together = [document for shard in shards for document in read_documents(shard)]
    assert together == list(read_documents(corpus / "agent" / "aws-00000.jsonl.zst"))


def test_the_licence_that_is_missing_is_named_when_nothing_stays(tmp_path):
    with pytest.raises(InputError, match=r"reader\.aws leaves no document.*not allowed: Apache-2\.0 \(\d+\)"):
        forge(build_recipe(table(tmp_path / "c", licences={"allow": ["MIT"]})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t["reader"][0].update(kind="botocore"),
            r"reader\.aws\.kind is 'botocore'.*'botocore_models'",
        ),
        (
            lambda t: t["reader"][0].pop("kind"),
            r"reader\.aws\.kind is None.*known here: botocore_models, openapi",
        ),
        (
            lambda t: t["reader"][0].update(service=["s3"]),
            r"Unknown key reader\.aws\.service: did you mean 'services'",
        ),
        (lambda t: t["reader"][0].update(domain="agents"), r"reader\.aws\.domain is 'agents'.*'agent'"),
        (lambda t: t["reader"][1].update(name="aws"), "Two readers have the name 'aws'"),
        (lambda t: t["reader"][1].update(name="A/b"), "a source names files"),
        (
            lambda t: t["reader"][0].update(heldout=["sts"]),
            r"reader\.aws\.heldout names 'sts'.*did you mean 'aws/sts'",
        ),
        (
            lambda t: t["reader"][1].update(packages=["jinja2"], heldout=["jinja2"]),
            "The domain code has no train",
        ),
        (lambda t: t["reader"][1].update(packages=["jinja2"], heldout=[]), "The domain code has no heldout"),
        (lambda t: t.update(heldout={"share": 1.0}), r"heldout\.share is 1\.0"),
        (lambda t: t.update(reader=[]), r"no \[\[reader\]\]"),
        (lambda t: t.update(licences={}), r"licences\.allow is missing"),
        (lambda t: t.update(colour=1), "Unknown key colour"),
    ],
)
def test_a_wrong_recipe_is_an_input_error_that_names_the_key(tmp_path, change, message):
    wrong = table(tmp_path / "c")
    change(wrong)
    with pytest.raises(InputError, match=message):
        forge(build_recipe(wrong))


def test_a_folder_without_a_manifest_is_no_corpus(tmp_path):
    with pytest.raises(InputError, match=r"no finished corpus"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        read_manifest(tmp_path)


def test_the_quickstart_recipe_is_valid_and_names_services_that_exist():
    recipe = read_recipe(QUICKSTART, ["output=elsewhere", "reader.aws.max_documents=3"])
    aws = recipe.readers[0]
    assert (recipe.output, aws.max_documents) == (Path("elsewhere"), 3)
    assert {f"aws/{unit}" for unit in aws.units()} > set(aws.heldout)
    assert {reader.domain for reader in recipe.readers} == {"agent", "code", "text"}
