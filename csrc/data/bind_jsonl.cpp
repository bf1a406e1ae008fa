#include "bind.h"
#include "jsonl.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

// Holds the buffer: whoever owns the bytes cannot resize them while another thread has the interpreter.
struct Block {
    explicit Block(const py::buffer& buffer) : info(buffer.request()) {
        if (info.ndim != 1 || info.itemsize != 1 || (info.size > 1 && info.strides[0] != 1)) {
            throw std::invalid_argument("a block is a contiguous run of bytes");
        }
    }
    const char* data() const { return static_cast<const char*>(info.ptr); }
    std::size_t size() const { return static_cast<std::size_t>(info.size); }
    py::buffer_info info;
};

struct JsonBatch {
    std::size_t consumed, lines;
    py::object texts, offsets, positions, characters, licenses, domains, sources;
    py::object segment_documents, segment_ends, segment_train;
    py::list bad;
};

template <typename Names>
py::list to_list(const Names& names) {
    py::list list;
    for (const auto& name : names) list.append(py::str(name));
    return list;
}

py::tuple to_tuple(heph::LabelColumn&& column) {
    return py::make_tuple(to_list(column.names.names()), to_numpy(std::move(column.codes)));
}

py::object texts_to_numpy(heph::JsonLines& lines) {
    unsigned char* const raw = lines.texts.release();
    const py::capsule owner(raw, [](void* memory) { std::free(memory); });
    return Array<std::uint8_t>(static_cast<py::ssize_t>(lines.offsets.back()), raw, owner);
}

py::list to_list(const std::vector<heph::BadLine>& bad, const heph::Names& reasons) {
    const py::list texts = to_list(reasons.names());  // lines with one fault share its text
    py::list list;
    for (const auto& line : bad) list.append(py::make_tuple(line.position, line.length, texts[line.reason]));
    return list;
}

JsonBatch to_python(heph::JsonLines&& lines) {
    JsonBatch batch;
    batch.consumed = lines.consumed;
    batch.lines = lines.lines;
    batch.texts = texts_to_numpy(lines);
    batch.offsets = to_numpy(std::move(lines.offsets));
    batch.positions = to_numpy(std::move(lines.positions));
    batch.characters = to_numpy(std::move(lines.characters));
    batch.licenses = to_tuple(std::move(lines.licenses));
    batch.domains = to_tuple(std::move(lines.domains));
    batch.sources = to_tuple(std::move(lines.sources));
    batch.segment_documents = to_numpy(std::move(lines.segment_documents));
    batch.segment_ends = to_numpy(std::move(lines.segment_ends));
    batch.segment_train = to_numpy(std::move(lines.segment_train)).attr("view")("bool");
    batch.bad = to_list(lines.bad, lines.reasons);
    return batch;
}

JsonBatch read_json_lines(const py::buffer& buffer, const std::string& field, std::size_t begin, bool last) {
    const Block block(buffer);
    heph::JsonLines lines;
    {
        const py::gil_scoped_release unlocked;
        lines = heph::read_json_lines(block.data(), block.size(), begin, last, field);
    }
    return to_python(std::move(lines));
}

}  // namespace

void bind_jsonl(py::module_& module) {
    py::class_<JsonBatch>(module, "JsonBatch", "The documents of a block of JSON lines, in columns.")
        .def_readonly("consumed", &JsonBatch::consumed, "Bytes up to and with the last line end, from the block's first.")
        .def_readonly("lines", &JsonBatch::lines, "Lines read, blank ones too.")
        .def_readonly("texts", &JsonBatch::texts, "uint8 [bytes]: the texts as UTF-8, one after the other.")
        .def_readonly("offsets", &JsonBatch::offsets, "int64 [documents + 1], into texts.")
        .def_readonly("positions", &JsonBatch::positions, "int64 [documents]: where a line begins in the block.")
        .def_readonly("characters", &JsonBatch::characters, "int64 [documents]: code points.")
        .def_readonly("licenses", &JsonBatch::licenses, "(distinct names, int32 [documents] codes; -1: none).")
        .def_readonly("domains", &JsonBatch::domains, "As licenses.")
        .def_readonly("sources", &JsonBatch::sources, "As licenses.")
        .def_readonly("segment_documents", &JsonBatch::segment_documents,
                      "int64 [segments]: of all documents that have a segment without loss.")
        .def_readonly("segment_ends", &JsonBatch::segment_ends,
                      "int64 [segments]: the stop byte in the text of the document.")
        .def_readonly("segment_train", &JsonBatch::segment_train, "bool [segments].")
        .def_readonly("bad", &JsonBatch::bad, "(position, length, reason) of lines that are no document.");
    module.def("read_json_lines", &read_json_lines, py::arg("block"), py::arg("field") = "text", py::arg("begin") = 0,
               py::arg("last") = false,
               "Reads the complete lines of a block of bytes from `begin` on; what follows the last line end is a "
               "line too if `last`.  Stops after 65,536 malformed lines: go on behind `consumed`.  Bytes in reasons are "
               "counted from 1 in the line.");
}

}  // namespace heph::bind
