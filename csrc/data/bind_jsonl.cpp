#include "bind.h"
#include "jsonl.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

py::tuple split_lines(const py::buffer& block, bool last) {
    const py::buffer_info info = block.request();
    if (info.ndim != 1 || info.itemsize != 1 || (info.size > 0 && info.strides[0] != 1)) {
        throw std::invalid_argument("a block is a contiguous run of bytes");
    }
    heph::Lines lines;
    {
        const py::gil_scoped_release unlocked;
        lines = heph::split_lines(static_cast<const char*>(info.ptr), static_cast<std::size_t>(info.size), last);
    }
    return py::make_tuple(to_numpy(std::move(lines.offsets)), to_numpy(std::move(lines.lengths)), lines.consumed);
}

}  // namespace

void bind_jsonl(py::module_& module) {
    module.def("split_lines", &split_lines, py::arg("block"), py::arg("last") = false,
               "(offsets uint64 [n], lengths uint64 [n], consumed): the complete lines of a block of bytes, without their "
               "line ends; what follows the last one is a line too if `last`.");
}

}  // namespace heph::bind
