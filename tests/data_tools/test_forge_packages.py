import base64
import hashlib
import zipfile

import pytest

from data_tools.packages import find_package, local_package
from megatron_heph.errors import InputError


@pytest.fixture
def offline_index(tmp_path, monkeypatch):
    """pip sees one folder of wheels and no network; the cache is empty."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("HEPH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "wheels").mkdir()
    find_package.cache_clear()
    return tmp_path


def make_wheel(folder, name, version, files):
    meta = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{meta}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        "License-Expression: MIT\n",
        f"{meta}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}\n")
    files[f"{meta}/RECORD"] = "".join([*rows, f"{meta}/RECORD,,\n"])
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def test_an_installed_package_has_its_files_version_and_licence():
    package = find_package("botocore")
    assert package.license == "Apache-2.0"
    assert package.archive_sha256 == ""
    assert package.files["botocore/session.py"].read_text().startswith("# Copyright")
    assert not any(path.endswith(".pyc") or ".dist-info" in path for path in package.files)


def test_a_bare_bsd_classifier_is_made_exact_by_the_licence_text():
    assert find_package("jinja2").license == "BSD-3-Clause"


def test_the_standard_library_has_neither_tests_nor_installed_packages():
    files = find_package("python").files
    assert "json/decoder.py" in files
    assert not any("site-packages" in path or "/test/" in path for path in files)


def test_a_pinned_wheel_is_fetched_once_unpacked_and_hashed(offline_index):
    wheel = make_wheel(offline_index / "wheels", "tiny_spec", "1.2", {"tiny_spec/api.json": "{}"})
    archive_sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    package = find_package("tiny-spec==1.2")
    assert (package.name, package.version, package.license) == ("tiny-spec", "1.2", "MIT")
    assert package.archive_sha256 == archive_sha256
    assert package.files["tiny_spec/api.json"].read_text() == "{}"

    wheel.unlink()  # the second time nothing is fetched
    find_package.cache_clear()
    assert find_package("tiny-spec==1.2").sha256 == package.sha256


def test_the_hash_changes_with_the_contents(offline_index):
    hashes = set()
    for version, text in (("1.0", "{}"), ("1.1", "{}"), ("1.2", "[]")):
        make_wheel(offline_index / "wheels", "tiny_spec", version, {"tiny_spec/api.json": text})
        hashes.add(find_package(f"tiny_spec=={version}").sha256)
    assert len(hashes) == 2


def test_a_version_that_cannot_be_fetched_is_the_users_error_and_leaves_nothing(offline_index):
    with pytest.raises(InputError, match=r"could not fetch the wheel of no-such-thing==9\.9"):
        find_package("no-such-thing==9.9")
    assert not list((offline_index / "cache" / "packages").iterdir())


def test_a_package_that_is_not_installed_says_what_to_do():
    with pytest.raises(InputError, match="'botocor' is not installed; did you mean 'botocore'"):
        find_package("botocor")


@pytest.mark.parametrize("requirement", ["numpy>=1", "numpy==1.*", "not a package"])
def test_a_requirement_that_fixes_no_version_is_refused(requirement):
    with pytest.raises(InputError, match="name==version"):
        find_package(requirement)


def test_a_file_that_a_package_lacks_names_the_nearest():
    with pytest.raises(InputError, match=r"reader\.x\.path names .*did you mean 'jinja2/nodes\.py'"):
        find_package("jinja2").file("jinja2/node.py", "reader.x.path")


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"reader\.docs\.folders names .*missing"):
        local_package(tmp_path / "missing", "reader.docs.folders")
