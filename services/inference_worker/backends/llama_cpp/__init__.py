"""llama.cpp through its C functions, by ctypes; nothing of the binding's high-level classes."""
