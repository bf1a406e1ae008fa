import ast
import json

import pytest

from data_tools.render.code import boto3_call, python_literal
from data_tools.render.fields import Field
from data_tools.render.lines import field_lines
from data_tools.render.prose import first_sentence, plain, shorten
from data_tools.render.sample import sample_arguments, sample_value
from data_tools.render.schema import object_schema


def test_html_becomes_plain_paragraphs_lists_and_code():
    html = "<p>Makes <code>x</code>.</p> <ul> <li> <p>One &amp; all</p> </li> <li>two</li> </ul><p>End.</p>"
    assert plain(html) == "Makes `x`.\n- One & all\n- two\nEnd."


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("Short.", 10, "Short."),
        ("One sentence here. Another sentence there.", 30, "One sentence here."),
        ("Some words, e.g. these ones and those", 22, "Some words, e.g...."),
        ("Several words without an end", 16, "Several words..."),
        ("Onewordthatistoolong", 10, "Onewordt..."[:7] + "..."),
    ],
)
def test_text_is_cut_at_sentences_else_words(text, limit, expected):
    assert shorten(text, limit) == expected
    assert len(shorten(text, limit)) <= limit


def test_the_first_sentence_stays_in_the_first_paragraph():
    assert first_sentence("Uses e.g. Linux. Then more.", 100) == "Uses e.g. Linux."
    assert first_sentence("A title\nAnd a body. More.", 100) == "A title"


OBJECT = Field(name="", type="object", children=(Field(name="id", type="string"),))
FIELDS = (
    Field(name="note", type="string", description="A note."),
    Field(name="size", type="integer", required=True, constraints={"minimum": 2, "maximum": 5}),
    Field(
        name="owner", type="object", required=True,
        children=(
            Field(name="mode", type="string", required=True, enum=("ro", "rw")),
            Field(name="tags", type="object", item=Field(name="", type="string")),
        ),
    ),
    Field(
        name="ids", type="array",
        item=Field(name="", type="object", children=(Field(name="id", type="string"),)),
    ),
)  # fmt: skip


def test_lines_put_required_fields_first_and_nest_by_indentation():
    assert field_lines(FIELDS, depth=2, budget=20, description=80) == [
        "- size (integer, required, 2 to 5)",
        "- owner (object, required)",
        "  - mode (string, required, one of ro | rw)",
        "  - tags (map of string)",
        "- note (string): A note.",
        "- ids (array of object)",
        "  - id (string)",
    ]
    assert len(field_lines(FIELDS, depth=1, budget=20, description=80)) == 4


def test_a_budget_says_how_many_are_left_out():
    assert field_lines(FIELDS, depth=1, budget=2, description=80)[2:] == ["- and 2 more"]


def test_made_arguments_have_all_that_is_required_within_bounds():
    assert sample_arguments(FIELDS, "disk") == {"size": 5, "owner": {"mode": "ro"}}
    assert list(sample_arguments([FIELDS[0], FIELDS[3]], "disk")) == ["note", "ids"]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field(name="bucketName", type="string"), "example-bucket"),
        (Field(name="roleArn", type="string"), "arn:aws:s3:us-east-1:123456789012:example"),
        (Field(name="when", type="string", format="date-time"), "2026-01-01T00:00:00Z"),
        (Field(name="x", type="string", constraints={"maxLength": 4}), "exam"),
        (Field(name="x", type="string", constraints={"minLength": 9}), "examplexx"),
        (Field(name="x", type="number", constraints={"minimum": 20}), 20.0),
        (Field(name="x", type="integer", constraints={"default": 7}), 7),
        (Field(name="x", type="string", example="given"), "given"),
        (Field(name="x", type="array"), []),
        (Field(name="x", type="boolean"), True),
    ],
)
def test_made_values(field, expected):
    assert sample_value(field, "s3") == expected


def test_a_schema_is_bounded_in_depth_and_lists_what_is_required():
    schema = object_schema(FIELDS, depth=2, description=40)
    assert schema["required"] == ["size", "owner"]
    assert schema["properties"]["note"] == {"type": "string", "description": "A note."}
    assert schema["properties"]["owner"]["required"] == ["mode"]
    assert schema["properties"]["owner"]["properties"]["tags"]["additionalProperties"] == {"type": "string"}
    assert object_schema(FIELDS, depth=1, description=0)["properties"]["owner"] == {"type": "object"}


def test_python_literals_read_back_as_the_value():
    value = {
        "a": [True, None, 1.5, 'quote " and \\ back'],
        "long": [{"key": "v" * 50}, {"key": "w" * 50}],
        "empty": [],
    }
    assert ast.literal_eval(python_literal(value)) == value
    code = boto3_call("s3", "put_object", value)
    call = ast.parse(code).body[-1].value
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == json.loads(json.dumps(value))
    assert max(map(len, code.splitlines())) < 100
