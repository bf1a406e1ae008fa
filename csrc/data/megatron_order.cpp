#include "megatron_order.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace heph {

MegatronSource::MegatronSource(const std::vector<std::int32_t>& lengths, std::vector<std::int32_t> documents,
                               const std::vector<std::int64_t>& shuffle, std::int64_t stride,
                               std::int64_t window)
    : documents_(std::move(documents)) {
    if (stride < 1 || window < stride) throw std::invalid_argument("windows of " + std::to_string(window) + " tokens");
    stride_ = static_cast<std::uint64_t>(stride);
    window_ = static_cast<std::uint64_t>(window);
    starts_.reserve(lengths.size() + 1);
    starts_.push_back(0);
    for (const std::int32_t length : lengths) {
        if (length < 0) throw std::invalid_argument("a document of " + std::to_string(length) + " tokens");
        starts_.push_back(starts_.back() + static_cast<std::uint64_t>(length));
    }
    for (const std::int32_t document : documents_) {
        if (document < 0 || static_cast<std::size_t>(document) >= lengths.size()) {
            throw std::invalid_argument("document " + std::to_string(document) + " of " + std::to_string(lengths.size()));
        }
    }
    find_windows();
    shuffle_windows(shuffle);
}

std::uint64_t MegatronSource::document_tokens(std::int64_t entry) const {
    const auto document = static_cast<std::size_t>(documents_[static_cast<std::size_t>(entry)]);
    return starts_[document + 1] - starts_[document];
}

// All whole windows of the stream.
void MegatronSource::find_windows() {
    const auto count = static_cast<std::int64_t>(documents_.size());
    std::uint64_t total = 0;
    for (std::int64_t entry = 0; entry < count; ++entry) total += document_tokens(entry);
    if (total < window_) return;
    entries_.reserve((total - window_) / stride_ + 1);
    offsets_.reserve(entries_.capacity());
    std::uint64_t passed = 0;  // tokens before this document
    std::uint64_t next = 0;    // where the next window begins
    for (std::int64_t entry = 0; next + window_ <= total; ++entry) {
        const std::uint64_t end = passed + document_tokens(entry);
        for (; next < end && next + window_ <= total; next += stride_) {
            entries_.push_back(entry);
            offsets_.push_back(static_cast<std::int32_t>(next - passed));
        }
        passed = end;
    }
}

void MegatronSource::shuffle_windows(const std::vector<std::int64_t>& shuffle) {
    std::vector<std::int64_t> entries(shuffle.size());
    std::vector<std::int32_t> offsets(shuffle.size());
    for (std::size_t sample = 0; sample < shuffle.size(); ++sample) {
        const auto window = static_cast<std::uint64_t>(shuffle[sample]);  // a negative one is beyond any range
        if (window >= entries_.size()) {
            throw std::invalid_argument("window " + std::to_string(shuffle[sample]) + " of " +
                                        std::to_string(entries_.size()));
        }
        entries[sample] = entries_[window];
        offsets[sample] = offsets_[window];
    }
    entries_ = std::move(entries);
    offsets_ = std::move(offsets);
}

void MegatronSource::pieces(std::uint64_t number, std::vector<Piece>& out) const {
    if (number >= size()) {
        throw std::out_of_range("sample " + std::to_string(number) + " of a source of " + std::to_string(size()));
    }
    std::int64_t entry = entries_[number];
    auto offset = static_cast<std::uint64_t>(offsets_[number]);
    const std::size_t first = out.size();
    for (std::uint64_t column = 0; column < window_; ++entry, offset = 0) {
        const std::uint64_t count = std::min(document_tokens(entry) - offset, window_ - column);
        if (count == 0) continue;  // an empty document
        const auto document = static_cast<std::size_t>(documents_[static_cast<std::size_t>(entry)]);
        append_piece(out, first, column, starts_[document] + offset, count);
        column += count;
    }
}

MegatronOrder::MegatronOrder(std::vector<std::shared_ptr<MegatronSource>> sources, const std::vector<double>& weights,
                             std::uint64_t samples)
    : sources_(std::move(sources)), samples_(samples), counts_(sources_.size(), 0) {
    if (std::find(sources_.begin(), sources_.end(), nullptr) != sources_.end()) {
        throw std::invalid_argument("a source of a blend is None");
    }
    if (weights.empty() ? sources_.size() != 1 : sources_.size() != weights.size()) {
        throw std::invalid_argument(std::to_string(sources_.size()) + " sources and " + std::to_string(weights.size()) +
                                    " weights");
    }
    if (sources_.size() >= 32767) throw std::invalid_argument("a blend of more than 32,766 sources");
    if (weights.empty()) {
        samples_ = sources_[0]->size();
        counts_[0] = static_cast<std::int64_t>(samples_);
    } else {
        blend(weights);
    }
}

// The same operations in the same order as in Megatron, where the last bit decides.  Where a compiler fuses the product
// and the difference (never on x86-64 unless asked), it does so in Megatron's helper too.
void MegatronOrder::blend(const std::vector<double>& weights) {
    source_.reserve(samples_);
    earlier_.reserve(samples_);
    for (std::uint64_t sample = 0; sample < samples_; ++sample) {
        const double due = std::max(static_cast<double>(sample), 1.0);
        std::size_t picked = 0;
        double most = weights[0] * due - static_cast<double>(counts_[0]);
        for (std::size_t source = 1; source < weights.size(); ++source) {
            const double owed = weights[source] * due - static_cast<double>(counts_[source]);
            if (owed > most) {
                most = owed;
                picked = source;
            }
        }
        source_.push_back(static_cast<std::int16_t>(picked));
        earlier_.push_back(counts_[picked]++);
    }
}

Samples MegatronOrder::pieces(std::uint64_t first, std::uint64_t count, std::uint64_t stride) const {
    Samples samples(count);
    for (std::uint64_t row = 0; row < count; ++row) {
        const std::uint64_t sample = first + row * stride;
        if (sample >= samples_) {
            throw std::out_of_range("sample " + std::to_string(sample) + " of " + std::to_string(samples_));
        }
        const std::int64_t source = source_.empty() ? 0 : source_[sample];
        const std::uint64_t number = source_.empty() ? sample : static_cast<std::uint64_t>(earlier_[sample]);
        samples.append(*sources_[static_cast<std::size_t>(source)], source, number);
    }
    return samples;
}

}  // namespace heph
