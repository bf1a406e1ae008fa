import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_tokenizers import byte_level_bpe, sentencepiece_bpe


@pytest.fixture(scope="session")
def bpe(tmp_path_factory):
    return byte_level_bpe(tmp_path_factory.mktemp("tokenizers") / "tiny-bpe")


@pytest.fixture(scope="session")
def spm(tmp_path_factory):
    return sentencepiece_bpe(tmp_path_factory.mktemp("tokenizers") / "tiny-spm")
