#include "loss_spans.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace heph {

namespace {

struct Span {
    std::uint64_t start, length;
};
static_assert(sizeof(Span) == 16);

}  // namespace

LossSpans::LossSpans(const std::string& path, std::uint64_t tokens, ReadCounters& counters)
    : file_(path, counters), tokens_(tokens), starts_(file_, 0, file_.bytes() / sizeof(Span), sizeof(Span), 0, tokens) {
    if (file_.bytes() > 0 && file_.bytes() % sizeof(Span) == 0) return;
    throw std::invalid_argument(path + " has " + std::to_string(file_.bytes()) +
                                " bytes, and a mask is one or more pairs of 16 bytes: it was cut short. Copy it "
                                "again, or run `heph tokenize` again.");
}

void LossSpans::clear(std::uint64_t first, std::uint64_t count, bool* loss, Wait wait) const {
    const std::uint64_t stop = first + count;
    std::uint64_t at = starts_.lower_bound(first, wait);
    if (at > 0) --at;  // may reach over `first`
    std::uint64_t before = 0;
    std::array<Span, kAtOnce> spans;
    while (at < starts_.size()) {
        const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(starts_.size() - at, spans.size()));
        file_.read(at * sizeof(Span), spans.data(), some * sizeof(Span), wait);
        for (std::size_t i = 0; i < some; ++i) {
            const auto [start, length] = spans[i];
            if (start < before || start > tokens_ || length == 0 || length > tokens_ - start) {
                throw std::invalid_argument(
                    file_.path() + ": span " + std::to_string(at + i) + " covers " + std::to_string(length) +
                    " tokens from " + std::to_string(start) + " on, and should cover one or more between " +
                    std::to_string(before) + " (the end of the one before) and " + std::to_string(tokens_) +
                    " (the end of the shard). The mask belongs to another shard, or is damaged: run `heph tokenize` "
                    "again.");
            }
            if (start >= stop) return;
            before = start + length;
            if (before > first) {
                const std::uint64_t begin = std::max(start, first), end = std::min(before, stop);
                std::fill(loss + (begin - first), loss + (end - first), false);
            }
        }
        at += some;
    }
}

}  // namespace heph
