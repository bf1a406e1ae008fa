// Random Megatron pairs, and what a plain reading of them says.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "../data/index_file.h"
#include "../data/token_reader.h"
#include "fuzz.h"

namespace fuzz {

template <typename Value>
void put(std::string& out, Value value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

struct ModelDocument {
    std::uint64_t shard, number;
    std::int64_t start, length;
};

// A source as arrays.
struct Model {
    std::vector<heph::ShardSpec> specs;
    std::vector<std::int64_t> ids;
    std::vector<char> loss;
    std::vector<ModelDocument> documents;  // also the empty ones

    // The last one that starts at or before a position, of those that are not empty.
    const ModelDocument& at(std::int64_t position) const {
        const ModelDocument* found = nullptr;
        for (const ModelDocument& document : documents) {
            if (document.length > 0 && document.start <= position) found = &document;
        }
        return *found;
    }
    bool starts(std::int64_t position) const {
        return static_cast<std::size_t>(position) < ids.size() && at(position).start == position;
    }
};

inline void put_id(std::string& out, int code, std::int64_t id) {
    switch (heph::TokenType::size(code)) {
        case 1: put(out, static_cast<std::uint8_t>(id)); break;
        case 2: put(out, static_cast<std::uint16_t>(id)); break;
        case 4: put(out, static_cast<std::int32_t>(id)); break;
        default: put(out, id);
    }
}

inline std::int64_t id_limit(int code) {
    switch (code) {
        case heph::TokenType::int8: return 1 << 7;
        case heph::TokenType::uint8: return 1 << 8;
        case heph::TokenType::int16: return 1 << 15;
        case heph::TokenType::uint16: return 1 << 16;
        default: return std::numeric_limits<std::int32_t>::max();
    }
}

// Writes a pair with documents of several sequences, of none, and of empty ones, and adds it to the model.
inline void add_shard(Random& random, const std::string& prefix, int code, std::size_t most, Model& model) {
    const std::size_t documents = random.one_in(6) ? 0 : random.below(most + 1);
    const bool plain = random.one_in(2);  // one sequence each
    const auto size = static_cast<std::int64_t>(heph::TokenType::size(code));
    std::string bin, lengths, pointers, entries;
    std::uint64_t sequences = 0;
    const auto base = static_cast<std::int64_t>(model.ids.size());
    for (std::size_t i = 0; i < documents; ++i) {
        put(entries, static_cast<std::int64_t>(sequences));
        const auto start = static_cast<std::int64_t>(model.ids.size());
        for (std::size_t parts = plain ? 1 : random.below(4); parts > 0; --parts, ++sequences) {
            const std::size_t length = random.one_in(5) ? 0 : random.one_in(30) ? random.below(700) : random.below(30);
            put(lengths, static_cast<std::int32_t>(length));
            put(pointers, (static_cast<std::int64_t>(model.ids.size()) - base) * size);
            for (std::size_t k = 0; k < length; ++k) {
                const auto id = static_cast<std::int64_t>(random.next() % static_cast<std::uint64_t>(id_limit(code)));
                model.ids.push_back(id);
                put_id(bin, code, id);
            }
        }
        model.documents.push_back(
            {model.specs.size(), i, start, static_cast<std::int64_t>(model.ids.size()) - start});
    }
    put(entries, static_cast<std::int64_t>(sequences));
    std::string mask;
    model.loss.resize(model.ids.size(), 1);
    for (std::size_t at = random.below(40), end = model.ids.size() - static_cast<std::size_t>(base);
         random.below(9) > 0 && at < end; at += 1 + random.below(100)) {
        const std::size_t length = 1 + random.below(std::min<std::size_t>(end - at, 50));
        put(mask, static_cast<std::uint64_t>(at));
        put(mask, static_cast<std::uint64_t>(length));
        for (std::size_t k = 0; k < length; ++k) model.loss[static_cast<std::size_t>(base) + at + k] = 0;
        at += length;
    }
    std::string head("MMIDIDX\0\0", 9);
    put(head, std::uint64_t{1});
    put(head, static_cast<std::uint8_t>(code));
    put(head, sequences);
    put(head, static_cast<std::uint64_t>(documents + 1));
    write_file(prefix + ".bin", bin);
    write_file(prefix + ".idx", head + lengths + pointers + entries);
    if (!mask.empty()) write_file(prefix + ".mask", mask);
    model.specs.push_back({prefix, code, bin.size() / static_cast<std::size_t>(size), sequences, documents + 1, !mask.empty()});
}

}  // namespace fuzz
