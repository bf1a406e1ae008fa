// Samples in the order of megatron-core's GPTDataset and BlendedDataset, from tables that are built at the start.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sample_order.h"
#include "source_order.h"

namespace heph {

// The samples of one source.  Its documents, in the order of a shuffled list that has each once per epoch, are one
// stream; consecutive windows of it are samples, which are shuffled again.  Consecutive windows share a token where
// a window has one more than the sequence, for the label of its last position: pieces cover the window's tokens,
// that one too.
class MegatronSource final : public SourceOrder {
public:
    // lengths: tokens of each document of the source.  documents: the shuffled list.  shuffle: the window of each
    // sample.  Window k is the tokens [k stride, k stride + window) of the stream.
    // Throws std::invalid_argument for a document, or a window, that is not there.
    MegatronSource(const std::vector<std::int32_t>& lengths, std::vector<std::int32_t> documents,
                   const std::vector<std::int64_t>& shuffle, std::int64_t stride, std::int64_t window);

    std::uint64_t size() const { return entries_.size(); }

    // Throws std::out_of_range from size() on.
    void pieces(std::uint64_t number, std::vector<Piece>& out) const override;

private:
    std::uint64_t document_tokens(std::int64_t entry) const;
    void find_windows();
    void shuffle_windows(const std::vector<std::int64_t>& shuffle);

    std::vector<std::uint64_t> starts_;  // of each document in the source, and the end
    std::vector<std::int32_t> documents_;
    // Where a sample begins: an entry of the list of documents, and an offset in that document.  12 bytes a sample.
    std::vector<std::int64_t> entries_;
    std::vector<std::int32_t> offsets_;
    std::uint64_t stride_, window_;
};

// The samples of a blend.  Sample n comes from the source that is owed most, w max(n, 1) - (samples it has had), of
// equals the first: in double precision, as Megatron does it, and therefore one after the other from the first.
class MegatronOrder {
public:
    // One weight per source, adding up to 1, and the number of samples; or one source and no weights, whose samples
    // are taken as they are.
    MegatronOrder(std::vector<std::shared_ptr<MegatronSource>> sources, const std::vector<double>& weights,
                  std::uint64_t samples);

    std::uint64_t size() const { return samples_; }

    // Samples of each source in the blend.
    const std::vector<std::int64_t>& counts() const { return counts_; }

    // As of SampleOrder; throws std::out_of_range from size() on, or for a source that has not that many.
    Samples pieces(std::uint64_t first, std::uint64_t count, std::uint64_t stride) const;

private:
    void blend(const std::vector<double>& weights);

    std::vector<std::shared_ptr<MegatronSource>> sources_;
    std::uint64_t samples_;
    std::vector<std::int16_t> source_;   // of each sample; empty without weights
    std::vector<std::int64_t> earlier_;  // samples of that source before it
    std::vector<std::int64_t> counts_;
};

}  // namespace heph
