import pytest

from data_tools.curate.dedup import ExactDuplicates
from data_tools.curate.heldout import is_heldout, keyed_fraction, provider_of
from data_tools.curate.length import LengthBounds
from data_tools.curate.licence import AllowedLicence, allowed, from_text, spdx
from data_tools.curate.sample import sample
from data_tools.curate.secrets import MaskSecrets
from data_tools.curate.step import Dropped, Ledger, curate
from megatron_heph.errors import InputError
from megatron_heph.formats.document import Document, Segment


def document(text="text", *, id="x", license="MIT", package="p", path="a.py", provider=None, segments=()):
    return Document(
        id=id,
        domain="agent",
        source="s",
        license=license,
        text=text,
        segments=segments,
        provenance={"package": package, "version": "1", "path": path},
        api={"provider": provider, "name": id} if provider else {},
    )


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache 2.0 License", "Apache-2.0"),
        ("Apache Software License", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("The MIT License", "MIT"),
        ("BSD License", "LicenseRef-BSD"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.html", "Apache-2.0"),
        ("GPLv3", "GPL-3.0-only"),
        ("Python Software Foundation License", "PSF-2.0"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("Proprietary", ""),
        ("see the LICENSE file", ""),
        ("", ""),
    ],
)
def test_statements_become_spdx(statement, expected):
    assert spdx(statement) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("Apache-2.0 WITH LLVM-exception AND MIT", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", True),
        ("GPL-3.0-only OR MIT AND GPL-2.0-only", False),
    ],
)
def test_and_needs_both_sides_and_or_one(expression, expected):
    assert allowed(expression, frozenset({"MIT", "Apache-2.0"})) is expected


def test_the_text_of_a_licence_is_recognised():
    grant = "Redistribution and use in source and\n binary forms, with or without modification"
    assert from_text(grant) == "BSD-2-Clause"
    assert from_text(grant + " Neither the name of") == "BSD-3-Clause"
    assert from_text("All rights reserved.") == ""


def test_a_document_without_an_open_licence_is_dropped_with_the_reason():
    step = AllowedLicence(["MIT"])
    assert step(document(license="MIT License")).license == "MIT"
    assert step(document(license="GPL-3.0-only")) == Dropped("not allowed: GPL-3.0-only")
    assert step(document(license="Proprietary")) == Dropped("unknown: Proprietary")
    assert step(document(license="")) == Dropped("unknown: none stated")


@pytest.mark.parametrize("allow", [[], ["MIT", "Free"], ["MIT OR Apache-2.0"]])
def test_an_allow_list_that_names_no_licence_is_an_input_error(allow):
    with pytest.raises(InputError, match=r"licences\.allow"):
        AllowedLicence(allow)


def test_duplicates_up_to_case_and_space_fall_out():
    step = ExactDuplicates()
    assert isinstance(step(document("One  two\n")), Document)
    assert step(document("one two")) == Dropped("exact duplicate")
    assert isinstance(step(document("one two three")), Document)
    assert step(
        document("", segments=(Segment(text="one ", train=False), Segment(text="two", train=True)))
    ) == Dropped("exact duplicate")


def test_credentials_are_masked_and_placeholders_stay():
    key = "AKIA" + "ABCDEFGH12345678"
    pem = "-----BEGIN RSA PRIVATE KEY-----\n" + "Ab3+" * 30 + "\n-----END RSA PRIVATE KEY-----"
    step = MaskSecrets()
    masked = step(document(f"id {key} and {pem} and ghp_{'a1' * 18}")).text
    assert key not in masked and "Ab3+" not in masked and "ghp_" not in masked
    assert dict(step.masked) == {"aws access key": 1, "private key": 1, "github token": 1}
    placeholder = "use AKIAIOSFODNN7EXAMPLE here"
    assert step(document(placeholder)).text == placeholder
    segments = (Segment(text=key, train=True),)
    assert key not in step(document("", segments=segments)).full_text


def test_length_bounds_name_the_bound():
    step = LengthBounds(3, 5)
    assert step(document("ab")) == Dropped("under 3 characters")
    assert step(document("abcdef")) == Dropped("over 5 characters")
    assert isinstance(step(document("abcde")), Document)


def test_the_ledger_says_which_step_dropped_what():
    ledger = Ledger()
    items = [Dropped("deprecated"), document("aaaa"), document("AAAA"), document("a")]
    kept = list(curate(iter(items), [LengthBounds(2, 10), ExactDuplicates()], ledger))
    assert [d.text for d in kept] == ["aaaa"]
    assert ledger.table() == {
        "read": {"deprecated": 1},
        "length": {"under 2 characters": 1},
        "dedup": {"exact duplicate": 1},
    }


def test_a_provider_is_the_api_else_the_package_and_modules_in_the_standard_library():
    assert provider_of(document(provider="aws/s3")) == "aws/s3"
    assert provider_of(document(package="numpy")) == "numpy"
    assert provider_of(document(package="python", path="json/decoder.py")) == "python/json"
    assert provider_of(document(package="python", path="bisect.py")) == "python/bisect"


def test_a_providers_side_depends_on_seed_and_name_alone():
    names = [f"provider-{i}" for i in range(2000)]
    out = {name for name in names if is_heldout(name, 3, 0.1, ())}
    assert 150 < len(out) < 250
    assert out == {name for name in reversed(names) if is_heldout(name, 3, 0.1, ())}
    assert out != {name for name in names if is_heldout(name, 4, 0.1, ())}
    assert is_heldout("a", 3, 0.0, ("a",)) and not is_heldout(min(out), 3, 0.9, ("a",))
    assert 0 <= keyed_fraction(0, "") < 1


def test_caps_take_in_turns_from_every_provider_and_keep_the_order():
    documents = [
        document("x" * 10, id=f"{p}{i:02}", provider=p)
        for p, n in (("a", 50), ("b", 5), ("c", 5))
        for i in range(n)
    ]
    kept = sample(documents, 0, max_characters=95)
    counts = {p: sum(d.id.startswith(p) for d in kept) for p in "abc"}
    assert counts == {"a": 3, "b": 3, "c": 3}
    assert kept == [d for d in documents if d in kept]
    assert {d.id for d in sample(documents, 0, max_documents=3)} <= {d.id for d in kept}
    assert len(sample(documents, 0, max_provider_documents=2)) == 6
    assert sample(documents, 0) == documents
    assert [d.id for d in sample(documents, 1, max_documents=3)] != [
        d.id for d in sample(documents, 0, max_documents=3)
    ]
