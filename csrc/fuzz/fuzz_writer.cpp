// Shards written in random calls, with random faults, and merged: the bytes are those of the plainest writer.
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <unistd.h>

#include "../data/indexed_writer.h"
#include "../data/pair_merger.h"
#include "fuzz.h"

namespace {

namespace fs = std::filesystem;
using Document = std::vector<std::int64_t>;

const fs::path& folder() {
    static const fs::path path = fs::temp_directory_path() / ("heph-fuzz-" + std::to_string(::getpid()));
    return path;
}

std::string read_file(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

template <typename Value>
void put(std::string& out, Value value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

struct Pair {
    std::string bin, idx;
};

// The format's definition, in one go.
Pair expected_pair(const std::vector<Document>& documents, bool narrow) {
    Pair pair;
    pair.idx.assign("MMIDIDX\0\0", 9);
    put(pair.idx, std::uint64_t{1});
    put(pair.idx, static_cast<std::uint8_t>(narrow ? 8 : 4));
    put(pair.idx, static_cast<std::uint64_t>(documents.size()));
    put(pair.idx, static_cast<std::uint64_t>(documents.size() + 1));
    for (const Document& document : documents) put(pair.idx, static_cast<std::int32_t>(document.size()));
    for (const Document& document : documents) {
        put(pair.idx, static_cast<std::int64_t>(pair.bin.size()));
        for (const std::int64_t id : document) {
            if (narrow) put(pair.bin, static_cast<std::uint16_t>(id));
            else put(pair.bin, static_cast<std::int32_t>(id));
        }
    }
    for (std::size_t i = 0; i <= documents.size(); ++i) put(pair.idx, static_cast<std::int64_t>(i));
    return pair;
}

std::vector<Document> make_documents(fuzz::Random& random, std::size_t vocab) {
    std::vector<Document> documents(random.below(12));
    for (Document& document : documents) {
        document.resize(random.one_in(4) ? 0 : random.below(60));
        for (std::int64_t& id : document) id = static_cast<std::int64_t>(random.below(vocab));
    }
    return documents;
}

template <typename Id>
void append(heph::IndexedWriter& writer, const std::vector<Document>& documents, std::size_t begin, std::size_t end,
            std::int64_t eod) {
    std::vector<Id> ids;
    std::vector<std::int64_t> lengths;
    for (std::size_t i = begin; i < end; ++i) {
        for (const std::int64_t id : documents[i]) ids.push_back(static_cast<Id>(id));
        lengths.push_back(static_cast<std::int64_t>(documents[i].size()));
    }
    writer.append(ids.data(), ids.size(), lengths.data(), lengths.size(), eod);
}

// Writes a shard in several calls; returns what on_write saw.
std::string write_shard(fuzz::Random& random, const fs::path& prefix, const std::vector<Document>& documents,
                        std::size_t vocab, std::int64_t eod) {
    std::string seen;
    heph::IndexedWriter writer(prefix, vocab, random.below(100), [&](const void* bytes, std::size_t size) {
        seen.append(static_cast<const char*>(bytes), size);
    });
    for (std::size_t begin = 0; begin < documents.size();) {
        const std::size_t end = begin + 1 + random.below(documents.size() - begin);
        switch (random.below(3)) {
            case 0: append<std::int64_t>(writer, documents, begin, end, eod); break;
            case 1: append<std::int32_t>(writer, documents, begin, end, eod); break;
            default: append<std::uint32_t>(writer, documents, begin, end, eod);
        }
        begin = end;
    }
    writer.finalize();
    return seen;
}

void check_pair(const fs::path& prefix, const Pair& expected) {
    FUZZ_CHECK(read_file(prefix.string() + ".bin") == expected.bin);
    FUZZ_CHECK(read_file(prefix.string() + ".idx") == expected.idx);
    FUZZ_CHECK(!fs::exists(prefix.string() + ".bin.partial") && !fs::exists(prefix.string() + ".idx.partial"));
}

// A fault in the middle leaves nothing behind, and the writer closed.
void write_with_fault(fuzz::Random& random, const fs::path& prefix, std::size_t vocab) {
    const std::size_t fault = random.below(3);
    heph::IndexedWriter writer(prefix, vocab, 16, [&](const void*, std::size_t) {
        if (fault == 0) throw std::runtime_error("on_write");
    });
    std::vector<std::int64_t> ids(1 + random.below(200), 1), lengths = {static_cast<std::int64_t>(ids.size())};
    const std::int64_t wrong[] = {-1, static_cast<std::int64_t>(vocab), INT64_MIN, INT64_MAX};
    if (fault == 1) ids[random.below(ids.size())] = wrong[random.below(4)];
    if (fault == 2) lengths[0] += random.one_in(2) ? 1 : INT64_MIN;
    bool failed = false;
    try {
        writer.append(ids.data(), ids.size(), lengths.data(), 1, heph::IndexedWriter::no_end);
        writer.finalize();
    } catch (const std::exception&) {
        failed = true;
    }
    FUZZ_CHECK(failed && !fs::exists(prefix.string() + ".bin.partial") && !fs::exists(prefix.string() + ".bin"));
}

// A merge of a damaged index may fail, and then leaves nothing.
void merge_damaged(fuzz::Random& random, const fs::path& prefix) {
    std::string raw = read_file(prefix.string() + ".idx");
    if (random.one_in(2)) raw.resize(random.below(raw.size()));
    for (std::size_t changes = random.below(3); changes > 0 && !raw.empty(); --changes) {
        raw[random.below(std::min<std::size_t>(raw.size(), 60))] = static_cast<char>(random.next());
    }
    std::ofstream(prefix.string() + ".idx", std::ios::binary) << raw;
    const fs::path target = folder() / "damaged";
    try {
        heph::merge_pairs({prefix, prefix}, target, nullptr);
    } catch (const std::exception&) {
        FUZZ_CHECK(!fs::exists(target.string() + ".bin"));
    }
}

void round(fuzz::Random& random) {
    fs::create_directories(folder());
    const std::size_t vocab = random.one_in(2) ? 2 + random.below(65498) : 65500 + random.below(100000);
    const std::int64_t eod = random.one_in(2) ? static_cast<std::int64_t>(vocab) - 1 : heph::IndexedWriter::no_end;
    std::vector<Document> all;
    std::vector<std::string> prefixes;
    for (std::size_t shard = 0; shard < 1 + random.below(3); ++shard) {
        std::vector<Document> documents = make_documents(random, vocab);
        const fs::path prefix = folder() / std::to_string(shard);
        const std::string seen = write_shard(random, prefix, documents, vocab, eod);
        for (Document& document : documents) {
            if (eod != heph::IndexedWriter::no_end) document.push_back(eod);
            all.push_back(document);
        }
        const Pair expected = expected_pair(documents, vocab < 65500);
        check_pair(prefix, expected);
        FUZZ_CHECK(seen == expected.bin);
        prefixes.push_back(prefix);
    }
    std::uint64_t copied = 0;
    heph::merge_pairs(prefixes, folder() / "merged", [&](std::uint64_t bytes) { copied += bytes; });
    const Pair expected = expected_pair(all, vocab < 65500);
    check_pair(folder() / "merged", expected);
    FUZZ_CHECK(copied == expected.bin.size());
    merge_damaged(random, prefixes[0]);
    write_with_fault(random, folder() / "fault", vocab);
    fs::remove_all(folder());
}

}  // namespace

int main(int count, char** arguments) { return fuzz::run(count, arguments, 500, round); }
