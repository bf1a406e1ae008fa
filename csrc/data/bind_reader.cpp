#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>

#include "batch_reader.h"
#include "bind.h"
#include "index_file.h"
#include "read_ahead.h"
#include "token_reader.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

using Spec = std::tuple<std::string, int, std::uint64_t, std::uint64_t, std::uint64_t, bool>;
using ReaderPtr = std::shared_ptr<TokenReader>;

// (code, sequences, document indices, bytes of the .bin)
std::tuple<int, std::uint64_t, std::uint64_t, std::uint64_t> index_header(const std::string& path) {
    const py::gil_scoped_release unlocked;
    const SourceFile file(path);
    const IndexHeader header = heph::read_index_header(file);
    return {header.code, header.sequences, header.entries, read_bin_bytes(file, header)};
}

ReaderPtr make_reader(const std::vector<Spec>& specs, std::size_t open_shards) {
    std::vector<ShardSpec> shards;
    shards.reserve(specs.size());
    for (const auto& [prefix, code, tokens, sequences, entries, has_mask] : specs) {
        shards.push_back({prefix, code, tokens, sequences, entries, has_mask});
    }
    return std::make_shared<TokenReader>(std::move(shards), open_shards);
}

// Checked before an array of `count` is made.
std::uint64_t checked(const TokenReader& reader, std::int64_t start, std::int64_t count) {
    if (start < 0 || count < 0) {
        throw std::invalid_argument("tokens from " + std::to_string(start) + " on, " + std::to_string(count) +
                                    " of them: neither can be negative");
    }
    reader.check_range(static_cast<std::uint64_t>(start), static_cast<std::uint64_t>(count));
    return static_cast<std::uint64_t>(start);
}

template <typename Id>
py::array read_as(const TokenReader& reader, std::uint64_t start, std::int64_t count) {
    Array<Id> ids(count);
    Id* out = ids.mutable_data();
    const py::gil_scoped_release unlocked;
    reader.read(start, static_cast<std::uint64_t>(count), out);
    return std::move(ids);
}

py::array read(const TokenReader& reader, std::int64_t start, std::int64_t count) {
    const std::uint64_t first = checked(reader, start, count);
    return reader.is_narrow() ? read_as<std::uint16_t>(reader, first, count) : read_as<std::int32_t>(reader, first, count);
}

Array<bool> loss(const TokenReader& reader, std::int64_t start, std::int64_t count) {
    const std::uint64_t first = checked(reader, start, count);
    Array<bool> flags(count);
    bool* out = flags.mutable_data();
    const py::gil_scoped_release unlocked;
    std::fill_n(out, count, true);
    reader.clear_loss(first, static_cast<std::uint64_t>(count), out);
    return flags;
}

Array<std::int64_t> documents(const TokenReader& reader, std::int64_t start, std::int64_t count) {
    const std::uint64_t first = checked(reader, start, count);
    std::vector<Document> found;
    {
        const py::gil_scoped_release unlocked;
        reader.documents(first, static_cast<std::uint64_t>(count), found);
    }
    static_assert(sizeof(Document) == 2 * sizeof(std::int64_t));
    const auto rows = static_cast<py::ssize_t>(found.size());
    Array<std::int64_t> out({rows, py::ssize_t{2}});
    if (rows > 0) std::memcpy(out.mutable_data(), found.data(), found.size() * sizeof(Document));
    return out;
}

std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t> placed(const PlacedDocument& found) {
    return {found.shard, found.number, found.document.start, found.document.length};
}

auto document_at(const TokenReader& reader, std::int64_t position) {
    const std::uint64_t at = checked(reader, position, 1);
    const py::gil_scoped_release unlocked;
    return placed(reader.document_at(at));
}

auto document(const TokenReader& reader, std::int64_t number) {
    const py::gil_scoped_release unlocked;
    return placed(reader.document(static_cast<std::uint64_t>(number)));  // a negative one is too large
}

py::dict counters(const TokenReader& reader) {
    const ReadCounters& now = reader.counters();
    py::dict out;
    out["bytes"] = now.bytes.load();
    out["reads"] = now.reads.load();
    out["cold_reads"] = now.cold_reads.load();
    out["unknown_reads"] = now.unknown_reads.load();
    out["waited_ns"] = now.waited_ns.load();
    out["ahead_bytes"] = now.ahead_bytes.load();
    return out;
}

std::unique_ptr<BatchReader> make_batch_reader(const std::vector<ReaderPtr>& readers, std::vector<bool> apart,
                                               std::uint64_t vocab, std::shared_ptr<ReadAhead> ahead) {
    return std::make_unique<BatchReader>(std::vector<std::shared_ptr<const TokenReader>>(readers.begin(), readers.end()),
                                         std::move(apart), vocab, std::move(ahead));
}

// Five int64 in the order of the struct.
const Piece* to_pieces(const Array<std::int64_t>& pieces) {
    if (pieces.ndim() != 2 || pieces.shape(1) != 5) {
        throw std::invalid_argument("pieces are rows of five: row, column, source, start, count");
    }
    return reinterpret_cast<const Piece*>(pieces.data());
}

void want_extents(const BatchReader& reader, const Array<std::int64_t>& pieces,
                  const std::vector<std::int64_t>& extents) {
    const Piece* first = to_pieces(pieces);
    const auto count = static_cast<std::size_t>(pieces.shape(0));
    const py::gil_scoped_release unlocked;
    reader.want(first, count, extents);
}

template <typename Id>
Array<std::int32_t> read_into(const BatchReader& reader, const Array<std::int64_t>& pieces, Array<Id> tokens,
                              Array<Id> labels, Array<bool> loss, bool joined) {
    const auto same = [&](const py::array& other) {
        return other.ndim() == 2 && other.shape(0) == tokens.shape(0) && other.shape(1) == tokens.shape(1);
    };
    if (tokens.ndim() != 2 || !same(labels) || !same(loss)) {
        throw std::invalid_argument("tokens, labels and loss are three arrays of one shape, rows x columns");
    }
    const Piece* first = to_pieces(pieces);
    const BatchArrays<Id> arrays{tokens.mutable_data(), labels.mutable_data(), loss.mutable_data(), tokens.shape(0),
                                 tokens.shape(1)};
    const auto count = static_cast<std::size_t>(pieces.shape(0));
    std::vector<std::int32_t> edges;
    {
        const py::gil_scoped_release unlocked;
        edges = reader.read(first, count, arrays, joined ? Layout::joined : Layout::separate);
    }
    return to_numpy(std::move(edges));
}

}  // namespace

void bind_reader(py::module_& module) {
    module.def("read_index_header", &index_header, py::arg("path"),
               "(dtype code, sequences, document indices, bytes of the .bin) that an .idx says.  ValueError if it is none.");

    py::class_<TokenReader, ReaderPtr>(module, "TokenReader", "Megatron pairs in order, read as one stream of tokens.")
        .def(py::init(&make_reader), py::arg("shards"), py::arg("open_shards") = TokenReader::kOpenShards,
             "shards: (prefix, dtype code, tokens, sequences, document indices, has a mask) of each.  Opens no file.")
        .def_property_readonly("total_tokens", &TokenReader::total_tokens)
        .def_property_readonly("total_documents", &TokenReader::total_documents, "Also the empty ones.")
        .def_property_readonly("narrow", &TokenReader::is_narrow, "Whether all shards hold uint16.")
        .def_property_readonly("open_shards", &TokenReader::open_shards, "How many shards are open.")
        .def_property_readonly("counters", &counters)
        .def("read", &read, py::arg("start"), py::arg("count"),
             "The ids [start, start + count): uint16 where all shards hold it, else int32.")
        .def("loss", &loss, py::arg("start"), py::arg("count"), "Which of them carry loss: bool [count].")
        .def("documents", &documents, py::arg("start"), py::arg("count"),
             "(start, length) of every document that starts there, without the empty ones: int64 [documents, 2].")
        .def("document_at", &document_at, py::arg("position"),
             "(shard, number in the shard, start, length) of the document that holds a token.")
        .def("document", &document, py::arg("number"), "The same of a document of the source.");

    py::class_<ReadAhead, std::shared_ptr<ReadAhead>>(module, "ReadAhead", "A few threads that wait for the disk.")
        .def(py::init<std::size_t, std::size_t>(), py::arg("threads") = ReadAhead::kThreads,
             py::arg("block_bytes") = ReadAhead::kBlockBytes)
        .def("want", [](ReadAhead& ahead, const ReaderPtr& reader, std::int64_t start, std::int64_t count) {
            if (start >= 0 && count > 0) ahead.want(reader, static_cast<std::uint64_t>(start), static_cast<std::uint64_t>(count));
        }, py::arg("reader"), py::arg("start"), py::arg("count"), py::call_guard<py::gil_scoped_release>(),
             "A hint: these tokens will be read soon.  Returns at once.")
        .def_property_readonly("threads", &ReadAhead::threads, "How many have started.")
        .def_property_readonly("waiting", &ReadAhead::waiting, "Blocks that are wanted and not begun.");

    py::class_<BatchReader>(module, "BatchReader", "Fills the arrays of a batch from pieces of sources.")
        .def(py::init(&make_batch_reader), py::arg("readers"), py::arg("apart"), py::arg("vocab") = 0,
             py::arg("ahead") = py::none(), "vocab 0: not known.  Without `ahead` nothing is read side by side.")
        .def("read", &read_into<std::uint16_t>, py::arg("pieces"), py::arg("tokens").noconvert(),
             py::arg("labels").noconvert(), py::arg("loss").noconvert(), py::arg("joined") = false,
             "Fills tokens, labels (both uint16 or int32) and loss; returns cu_seqlens, int32.")
        .def("read", &read_into<std::int32_t>, py::arg("pieces"), py::arg("tokens").noconvert(),
             py::arg("labels").noconvert(), py::arg("loss").noconvert(), py::arg("joined") = false)
        .def("want", &want_extents, py::arg("pieces"), py::arg("extents"),
             "A hint: the extents in which these pieces begin (tokens of one, by source; 0: only the pieces) will be read "
             "soon.  Returns at once.");
}

}  // namespace heph::bind
