"""What is refused before, and after, shards are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data_tools.tokenize.plan import ShardPlan
from megatron_heph.errors import InputError
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path


def check_nothing_foreign(prefix: Path, plans: Sequence[ShardPlan]) -> None:
    """A pair that no run of this program recorded is not overwritten."""
    for plan in plans:
        for suffix in (".bin", ".idx"):
            path = prefix.with_name(plan.name + suffix)
            if path.exists():
                raise InputError(
                    f"{path} is there, and no {manifest_path(prefix).name} says what it is: it is not "
                    f"overwritten. Give another -o, or remove it first."
                )


def check_same_settings(prefix: Path, found: Manifest, asked: Manifest) -> None:
    """Shards that are there are not mixed with those of other settings."""
    for name, old, new in (
        ("tokenizer hash", found.tokenizer.hash, asked.tokenizer.hash),
        ("special-token policy", found.tokenizer.special_tokens, asked.tokenizer.special_tokens),
        ("end-of-document token", found.tokenizer.eod_token, asked.tokenizer.eod_token),
        ("dtype", found.dtype, asked.dtype),
        ("--field", found.field, asked.field),
    ):
        if old != new:
            raise InputError(
                f"{prefix} holds shards that were made with another {name}: {old!r}, and now it is {new!r}. "
                f"They are not overwritten: give another -o, or remove {prefix}-* and {prefix}.* first."
            )


def check_malformed(shards: Sequence[ShardInfo], limit: int) -> None:
    """More malformed lines than the user allowed, in all shards together, are an error."""
    malformed = sum(shard.malformed for shard in shards)
    if malformed > limit:
        worst = max(shards, key=lambda shard: shard.malformed)
        raise InputError(
            f"{malformed} lines are no documents, and --max-bad-lines is {limit}; most are in "
            f"{worst.name}.quarantine.jsonl ({worst.malformed}), with file, byte and reason. Mend them, or run the "
            f"same command with --max-bad-lines {malformed}: all shards are finished and kept."
        )


def only(what: str, counts: Iterable[dict[str, int]], several: str | None = None) -> str | None:
    """The one name that all documents have, None if they have none."""
    names = sorted({name for count in counts for name in count})
    if len(names) > 1 and several is None:
        raise InputError(
            f"The documents are of several {what}s: {', '.join(names)}. A source has one: tokenize them "
            f"apart, or name it with --{what} (all shards are finished and kept: the same command will be "
            f"quick)."
        )
    return several if len(names) > 1 else next(iter(names), None)
