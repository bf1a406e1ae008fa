#include "sample_order.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace heph {

void Samples::append(const SourceOrder& order, std::int64_t source, std::uint64_t number) {
    const auto row = static_cast<std::int64_t>(sources.size());
    const std::size_t begin = pieces.size();
    order.pieces(number, pieces);
    for (std::size_t piece = begin; piece < pieces.size(); ++piece) {
        pieces[piece].row = row;
        pieces[piece].source = source;
    }
    sources.push_back(source);
}

SampleOrder::SampleOrder(Mixture mixture, std::vector<std::shared_ptr<SourceOrder>> orders)
    : mixture_(std::move(mixture)), orders_(std::move(orders)) {
    if (static_cast<std::int64_t>(orders_.size()) != mixture_.sources()) {
        throw std::invalid_argument(std::to_string(orders_.size()) + " orders for a mixture of " +
                                    std::to_string(mixture_.sources()) + " sources");
    }
    for (std::size_t source = 0; source < orders_.size(); ++source) {
        if (orders_[source] == nullptr && mixture_.has(static_cast<std::int64_t>(source))) {
            throw std::invalid_argument("source " + std::to_string(source) + " has a weight and no order");
        }
    }
}

Samples SampleOrder::pieces(std::uint64_t first, std::uint64_t count, std::uint64_t stride) const {
    Samples samples(count);
    for (std::uint64_t row = 0; row < count; ++row) {
        const Mixture::Place place = mixture_.place(first + row * stride);
        samples.append(*orders_[static_cast<std::size_t>(place.source)], place.source,
                       static_cast<std::uint64_t>(place.earlier));
    }
    return samples;
}

}  // namespace heph
