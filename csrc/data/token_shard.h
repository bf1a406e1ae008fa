// One Megatron pair (and its `.mask`) that is open.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "document_index.h"
#include "loss_spans.h"
#include "token_file.h"

namespace heph {

// What is known of a pair before it is opened, from a manifest or from its header.
struct ShardSpec {
    std::string prefix;
    int code = 0;                 // of a TokenType
    std::uint64_t tokens = 0;
    std::uint64_t sequences = 0;
    std::uint64_t entries = 0;    // document indices: documents + 1
    bool has_mask = false;
};

// Opens the `.bin`, and checks both sizes and the header of the `.idx` against the spec; `.idx` and `.mask` are kept
// open from the first question to them on.  Thread-safe.
class TokenShard {
public:
    TokenShard(const ShardSpec& spec, ReadCounters& counters);

    const TokenFile& bin() const { return bin_; }
    const DocumentIndex& documents() const;
    const LossSpans& loss_spans() const;  // of a shard that has a mask

private:
    void check_header(const IndexHeader& header) const;

    const ShardSpec& spec_;
    ReadCounters& counters_;
    TokenFile bin_;
    mutable std::mutex opening_;
    mutable std::unique_ptr<DocumentIndex> documents_;
    mutable std::unique_ptr<LossSpans> loss_spans_;
};

}  // namespace heph
