"""What llama.cpp can compute with."""

from __future__ import annotations

import ctypes
import sys

import llama_cpp.llama_cpp as llama
from llama_cpp._ggml import libggml

_GPU = 1  # enum ggml_backend_dev_type; integrated ones share the machine's RAM and do not count


def offloads() -> bool:
    """Whether this build of llama.cpp has found something better than processors to compute with."""
    return bool(llama.llama_supports_gpu_offload())


def free_gpu_memory() -> int:
    """Bytes free on all discrete GPUs that this build of llama.cpp uses; 0 where memory is shared."""
    # On macOS the GPU's memory is the machine's RAM.
    if sys.platform == "darwin" or not offloads():
        return 0
    libggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    libggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    libggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    libggml.ggml_backend_dev_type.restype = ctypes.c_int
    libggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    libggml.ggml_backend_dev_memory.restype = None
    libggml.ggml_backend_dev_memory.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_size_t),
    ]
    total = 0
    for index in range(libggml.ggml_backend_dev_count()):
        device = libggml.ggml_backend_dev_get(index)
        if libggml.ggml_backend_dev_type(device) == _GPU:
            free, all_of_it = ctypes.c_size_t(), ctypes.c_size_t()
            libggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(all_of_it))
            total += free.value
    return total
