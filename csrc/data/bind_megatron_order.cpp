#include <stdexcept>

#include "bind_pieces.h"
#include "megatron_order.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

template <typename Value>
std::vector<Value> to_vector(const Array<Value>& values) {
    if (values.ndim() != 1) throw std::invalid_argument("flat arrays");
    return std::vector<Value>(values.data(), values.data() + values.size());
}

std::shared_ptr<MegatronSource> make_source(const Array<std::int32_t>& lengths, const Array<std::int32_t>& documents,
                                            const Array<std::int64_t>& shuffle, std::int64_t stride, std::int64_t window) {
    return std::make_shared<MegatronSource>(to_vector(lengths), to_vector(documents), to_vector(shuffle), stride, window);
}

}  // namespace

void bind_megatron_order(py::module_& module) {
    py::class_<MegatronSource, SourceOrder, std::shared_ptr<MegatronSource>>(
        module, "MegatronSource", "A source in Megatron's order; see csrc/data/megatron_order.h.")
        .def(py::init(&make_source), py::arg("lengths"), py::arg("documents"), py::arg("shuffle"), py::arg("stride"),
             py::arg("window"),
             "int32 [documents of the source] tokens, int32 [documents of all epochs], int64 [samples] windows.")
        .def_property_readonly("size", &MegatronSource::size);
    py::class_<MegatronOrder>(module, "MegatronOrder", "A blend in Megatron's order; see csrc/data/megatron_order.h.")
        .def(py::init<std::vector<std::shared_ptr<MegatronSource>>, const std::vector<double>&, std::uint64_t>(),
             py::arg("sources"), py::arg("weights"), py::arg("samples"), py::call_guard<py::gil_scoped_release>())
        .def("pieces", &sample_pieces<MegatronOrder>, py::arg("first"), py::arg("count"), py::arg("stride") = 1)
        .def_property_readonly("counts", &MegatronOrder::counts)
        .def_property_readonly("size", &MegatronOrder::size);
}

}  // namespace heph::bind
