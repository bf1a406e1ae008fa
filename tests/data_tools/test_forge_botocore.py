import ast
import json
import re

import pytest

from data_tools.curate.step import Dropped
from data_tools.sources.botocore_models import BotocoreModels
from megatron_heph.errors import InputError
from megatron_heph.formats.document import Document


def read(service, **options):
    reader = BotocoreModels(
        kind="botocore_models", name="aws", domain="agent", services=(service,), **options
    )
    documents = [item for item in reader.read(service) if isinstance(item, Document)]
    return {document.api["name"]: document for document in documents}


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)\n```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def dynamodb():
    return read("dynamodb")


def test_a_document_says_where_it_comes_from(dynamodb):
    document = dynamodb["PutItem"]
    assert document.id == "aws/dynamodb/PutItem"
    assert document.api == {"provider": "aws/dynamodb", "name": "PutItem"}
    assert document.license == "Apache-2.0"
    assert document.provenance["package"] == "botocore"
    assert document.provenance["path"].startswith("botocore/data/dynamodb/2012-08-10/service-2.json")


def test_the_sections_are_all_there_and_in_order(dynamodb):
    headings = re.findall(r"^#+ .*$", dynamodb["PutItem"].text, flags=re.MULTILINE)
    assert headings == [
        "# Amazon DynamoDB: PutItem",
        "## Request",
        "## Parameters",
        "## Returns",
        "## Errors",
        "## Function",
        "## Example",
    ]


def test_required_parameters_come_first_with_type_and_bounds(dynamodb):
    lines = dynamodb["PutItem"].text.partition("## Parameters\n\n")[2].splitlines()
    assert lines[0].startswith("- TableName (string, required, 1 to 1024 characters): ")
    assert lines[1].startswith("- Item (map of object, required): ")
    assert "  - BOOL (boolean): " in dynamodb["PutItem"].text
    assert "- ReturnItemCollectionMetrics (string, one of SIZE | NONE): " in dynamodb["PutItem"].text


def test_a_real_example_is_used_where_botocore_ships_one(dynamodb):
    text = dynamodb["PutItem"].text
    assert "This example adds a new item to the Music table." in text
    assert "made from the schema" not in text
    function, call, response = map(json.loads, blocks(text, "json"))
    assert function["name"] == call["name"] == "dynamodb_put_item"
    assert call["arguments"]["Item"]["Artist"] == {"S": "No One You Know"}
    assert response == {"ConsumedCapacity": {"CapacityUnits": 1, "TableName": "Music"}}


def test_a_shape_that_contains_itself_ends(dynamodb):
    # AttributeValue has maps and lists of AttributeValue.
    assert max(len(document.text) for document in dynamodb.values()) < 15_000
    deep = read("wafv2", depth=4)["CreateWebACL"]  # a Statement nests And, Or and Not statements
    assert "      - " in deep.text and "          - " not in deep.text


@pytest.mark.parametrize("service", ["sqs", "apigateway", "sagemaker"])
def test_every_made_call_fits_its_schema_and_the_code_says_the_same(service):
    for document in read(service).values():
        function, call = (json.loads(block) for block in blocks(document.text, "json")[:2])
        assert "(values made from the schema)" in document.text
        assert set(function["parameters"].get("required", ())) <= set(call["arguments"])
        assert set(call["arguments"]) <= set(function["parameters"].get("properties", {}))
        (code,) = blocks(document.text, "python")
        request = ast.parse(code).body[-1].value
        assert {k.arg: ast.literal_eval(k.value) for k in request.keywords} == call["arguments"]


def test_where_parameters_travel_is_said_and_methods_have_pythons_names():
    text = read("apigateway")["GetRestApi"].text
    assert "GET /restapis/{restapi_id} (API version 2015-07-09)" in text
    assert "- restApiId (string, required, in path): " in text
    assert "client.get_rest_api(" in text


def test_deprecated_operations_are_dropped_with_a_reason():
    reader = BotocoreModels(kind="botocore_models", name="aws", domain="agent", services=("s3",))
    items = list(reader.read("s3"))
    assert Dropped("deprecated operation") in items
    assert "aws/s3/GetBucketLifecycle" not in {item.id for item in items if isinstance(item, Document)}


def test_all_services_are_units_unless_some_are_named():
    assert len(BotocoreModels(kind="k", name="aws", domain="agent").units()) > 300
    reader = BotocoreModels(
        kind="k", name="aws", domain="agent", services=("sqs", "s3", "sns"), exclude=("s3",)
    )
    assert reader.units() == ["sns", "sqs"]


def test_an_unknown_service_names_the_nearest():
    reader = BotocoreModels(kind="k", name="aws", domain="agent", services=("dynamo",))
    with pytest.raises(InputError, match=r"reader\.aws names the service 'dynamo'.*did you mean 'dynamodb'"):
        reader.units()
