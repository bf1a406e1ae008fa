// What the files of the Python face share; each binds one subject.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

namespace heph::bind {

template <typename Value>
using Array = pybind11::array_t<Value, pybind11::array::c_style>;

// Hands a vector's memory to numpy without a copy.
template <typename Value>
Array<Value> to_numpy(std::vector<Value>&& values) {
    auto owned = std::make_unique<std::vector<Value>>(std::move(values));
    auto* raw = owned.get();
    const pybind11::capsule owner(owned.release(), [](void* p) { delete static_cast<std::vector<Value>*>(p); });
    return Array<Value>(static_cast<pybind11::ssize_t>(raw->size()), raw->data(), owner);
}

void bind_writer(pybind11::module_& module);
void bind_jsonl(pybind11::module_& module);
void bind_bpe(pybind11::module_& module);
void bind_order(pybind11::module_& module);
void bind_reader(pybind11::module_& module);
void bind_pack(pybind11::module_& module);
void bind_megatron_order(pybind11::module_& module);

}  // namespace heph::bind
