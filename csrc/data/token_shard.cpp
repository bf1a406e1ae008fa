#include "token_shard.h"

#include <stdexcept>

namespace heph {

TokenShard::TokenShard(const ShardSpec& spec, ReadCounters& counters)
    : spec_(spec), counters_(counters), bin_(spec.prefix + ".bin", counters) {
    const std::uint64_t expected = spec.tokens * TokenType::size(spec.code);
    if (bin_.bytes() != expected) {
        throw std::invalid_argument(bin_.path() + " has " + std::to_string(bin_.bytes()) + " bytes, and " +
                                    std::to_string(expected) + " are right for its " + std::to_string(spec.tokens) +
                                    " tokens of " + TokenType::name(spec.code) +
                                    ": it was cut short, or changed since the source was opened. Copy it again, or "
                                    "run `heph tokenize` again.");
    }
    check_header(read_index_header(SourceFile(spec.prefix + ".idx")));
}

void TokenShard::check_header(const IndexHeader& header) const {
    const auto fail = [&](const std::string& found, const std::string& expected) {
        throw std::invalid_argument(spec_.prefix + ".idx has " + found + ", and the source was opened with " + expected +
                                    ": it belongs to another source, or changed since. Copy the pair again, or run "
                                    "`heph tokenize` again.");
    };
    if (header.code != spec_.code) fail(TokenType::name(header.code), TokenType::name(spec_.code));
    if (header.sequences != spec_.sequences || header.entries != spec_.entries) {
        const auto counts = [](std::uint64_t sequences, std::uint64_t entries) {
            return std::to_string(sequences) + " sequences in " + std::to_string(entries - 1) + " documents";
        };
        fail(counts(header.sequences, header.entries), counts(spec_.sequences, spec_.entries));
    }
}

const DocumentIndex& TokenShard::documents() const {
    const std::lock_guard<std::mutex> lock(opening_);
    if (!documents_) {
        auto opened = std::make_unique<DocumentIndex>(spec_.prefix + ".idx", spec_.tokens, counters_);
        check_header(opened->header());
        documents_ = std::move(opened);
    }
    return *documents_;
}

const LossSpans& TokenShard::loss_spans() const {
    const std::lock_guard<std::mutex> lock(opening_);
    if (!loss_spans_) loss_spans_ = std::make_unique<LossSpans>(spec_.prefix + ".mask", spec_.tokens, counters_);
    return *loss_spans_;
}

}  // namespace heph
