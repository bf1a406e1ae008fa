import json
import re
from pathlib import Path

import pytest
import yaml

from data_tools.curate.step import Dropped
from data_tools.sources.openapi import OpenApi, Spec
from megatron_heph.errors import InputError
from megatron_heph.formats.document import Document

JUPYTERLAB = Path(__file__).parents[1] / "data" / "jupyterlab_server" / "rest-api.yml"

PETS = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1", "license": {"name": "MIT License"}},
    "servers": [{"url": "https://pets.example.com/v1/"}],
    "paths": {
        "/pets/{petId}": {
            "parameters": [{"$ref": "#/components/parameters/PetId"}],
            "put": {
                "operationId": "updatePet",
                "summary": "Changes a pet.",
                "parameters": [
                    {"name": "dryRun", "in": "query", "required": True, "schema": {"type": "boolean"}},
                    {
                        "name": "X-Trace",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string", "example": "t1"},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                    },
                    "404": {"$ref": "#/components/responses/NotFound"},
                },
            },
            "delete": {"summary": "Removes it.", "deprecated": True, "responses": {}},
            "get": {"responses": {"200": {"description": "ok"}}},
        },
    },
    "components": {
        "parameters": {
            "PetId": {
                "name": "petId",
                "in": "path",
                "required": True,
                "schema": {"type": "integer", "minimum": 100},
            }
        },
        "responses": {"NotFound": {"description": "No such pet. Try another."}},
        "schemas": {
            "Named": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "maxLength": 5}},
            },
            "Pet": {
                "allOf": [{"$ref": "#/components/schemas/Named"}],
                "type": "object",
                "required": ["kind"],
                "properties": {
                    "kind": {"enum": ["cat", "dog"]},
                    "parent": {"$ref": "#/components/schemas/Pet"},
                    "tags": {"type": ["array", "null"], "items": {"type": "string"}},
                    "elsewhere": {"$ref": "other.yaml#/Thing"},
                    "loop": {"$ref": "#/components/schemas/Loop"},
                },
            },
            "Loop": {"$ref": "#/components/schemas/Loop"},
        },
    },
}


def reader(path, **options):
    return OpenApi(
        kind="openapi", name="rest", domain="agent", specs=(Spec(provider="pets", path=str(path), **options),)
    )


@pytest.fixture
def pets(tmp_path):
    (tmp_path / "pets.json").write_text(json.dumps(PETS))
    items = list(reader(tmp_path / "pets.json").read("pets"))
    (document,) = [item for item in items if isinstance(item, Document)]
    return document, [item for item in items if isinstance(item, Dropped)]


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)\n```", text, flags=re.DOTALL)


def test_references_are_followed_and_cycles_end(pets):
    document, _ = pets
    parameters = document.text.partition("## Parameters\n\n")[2].partition("\n\n## Returns")[0]
    assert parameters.splitlines() == [
        "- petId (integer, required, in path, at least 100)",
        "- dryRun (boolean, required, in query)",
        "- X-Trace (string, required, in header)",
        "- name (string, required, at most 5 characters)",
        "- kind (string, required, one of cat | dog)",
        "- parent (object)",
        "- tags (array of string)",
        "- elsewhere (any)",
        "- loop (any)",
    ]
    assert "- 404: No such pet." in document.text


def test_the_made_call_is_the_same_in_json_and_curl(pets):
    document, _ = pets
    function, call = map(json.loads, blocks(document.text, "json"))
    assert function["name"] == "pets_update_pet"
    assert function["parameters"]["required"] == ["petId", "dryRun", "X-Trace", "name", "kind"]
    assert call["arguments"] == {
        "petId": 100,
        "dryRun": True,
        "X-Trace": "t1",
        "name": "examp",
        "kind": "cat",
    }
    (code,) = blocks(document.text, "bash")
    assert code.splitlines() == [
        "curl -X PUT 'https://pets.example.com/v1/pets/100?dryRun=true' \\",
        "  -H 'X-Trace: t1' \\",
        "  -H 'Content-Type: application/json' \\",
        """  -d '{"name": "examp", "kind": "cat"}'""",
    ]


def test_deprecated_and_undescribed_operations_are_dropped(pets):
    _, dropped = pets
    assert sorted(item.reason for item in dropped) == [
        "deprecated operation",
        "operation without documentation",
    ]


def test_licence_and_provider(pets):
    document, _ = pets
    assert (document.license, document.api) == ("MIT License", {"provider": "pets", "name": "updatePet"})


def test_swagger_2_bodies_and_inline_types(tmp_path):
    spec = {
        "swagger": "2.0",
        "info": {"title": "Old"},
        "host": "old.example.com",
        "basePath": "/api",
        "schemes": ["http"],
        "paths": {
            "/things": {
                "post": {
                    "summary": "Makes a thing.",
                    "parameters": [
                        {"name": "size", "in": "query", "type": "integer", "maximum": 3, "required": True},
                        {
                            "name": "thing",
                            "in": "body",
                            "required": True,
                            "schema": {"$ref": "#/definitions/Thing"},
                        },
                    ],
                    "responses": {
                        "201": {
                            "description": "made",
                            "schema": {"type": "array", "items": {"$ref": "#/definitions/Thing"}},
                        }
                    },
                }
            }
        },
        "definitions": {
            "Thing": {
                "type": "object",
                "required": ["id"],
                "properties": {"id": {"type": "string", "format": "uuid"}},
            }
        },
    }
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(spec))
    (document,) = reader(tmp_path / "old.yaml", license="MIT").read("pets")
    assert "- size (integer, required, in query, at most 3)\n- id (string, required, uuid)" in document.text
    assert "- 201 (array of object): made\n  - id (string, required, uuid)" in document.text
    assert "curl -X POST 'http://old.example.com/api/things?size=3'" in document.text
    assert document.license == "MIT"


def test_a_body_member_named_as_a_path_parameter_does_not_hide_it(tmp_path):
    spec = {
        "swagger": "2.0",
        "info": {},
        "paths": {
            "/files/{path}": {
                "put": {
                    "summary": "Moves a file.",
                    "parameters": [
                        {"name": "path", "in": "path", "type": "string", "required": True},
                        {
                            "name": "to",
                            "in": "body",
                            "required": True,
                            "schema": {"required": ["path"], "properties": {"path": {"type": "string"}}},
                        },
                    ],
                }
            }
        },
    }
    (tmp_path / "s.json").write_text(json.dumps(spec))
    (document,) = reader(tmp_path / "s.json").read("pets")
    call = json.loads(blocks(document.text, "json")[1])
    assert call["arguments"] == {"path": "example.txt", "body": {"path": "example.txt"}}
    assert """-d '{"path": "example.txt"}'""" in document.text


def test_a_real_specification():
    documents = [item for item in reader(JUPYTERLAB).read("pets") if isinstance(item, Document)]
    assert len(documents) == 12
    by_name = {document.api["name"]: document for document in documents}
    text = by_name["PUT /lab/api/settings/{schema_name}"].text
    assert "- schema_name (string, required, in path): Schema Name\n- raw (string)" in text
    assert {document.license for document in documents} == {"BSD-3-Clause"}
    for document in documents:
        function, call = (json.loads(block) for block in blocks(document.text, "json"))
        assert set(function["parameters"].get("required", ())) <= set(call["arguments"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.json", "{", "no readable specification"),
        ("bad.yaml", "a: [", "no readable specification"),
        ("list.yaml", "- a", "no OpenAPI 3 or Swagger 2 specification: it has list"),
        ("other.json", '{"name": 1}', "it has name, and needs"),
    ],
)
def test_what_is_no_specification_is_an_input_error(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        list(reader(tmp_path / name).read("pets"))


def test_a_missing_file_names_the_key():
    with pytest.raises(InputError, match=r"reader\.rest\.specs\.pets\.path"):
        reader("no/such.yaml").inputs()


def test_a_provider_may_be_named_once():
    spec = Spec(provider="pets", path=str(JUPYTERLAB))
    with pytest.raises(InputError, match="names a provider twice"):
        OpenApi(kind="openapi", name="rest", domain="agent", specs=(spec, spec)).units()
