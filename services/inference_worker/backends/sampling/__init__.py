"""Drawing tokens from logits, for runtimes that hand their logits out: llama.cpp's samplers in numpy.

The order is the one that llama.cpp's users know: logit bias, penalties, DRY, top-k, typical, top-p, min-p,
XTC, temperature, draw. A mask comes before all of them: filters see only what it allows.

llama.cpp's own chain copies the vocabulary into an array of structures and walks it once or more for every
sampler; here penalties touch the tokens they concern, and the filters find the few tokens that matter first.

What a seed promises: a candidate's draws depend on its seed and its logits alone, one number for every token
(two with XTC), whoever is in the batch beside it. Logits are not always the same to the last bit: llama.cpp
computes them by other kernels for other batch sizes, so a draw that falls on the border of two tokens may
differ between a request alone and the same one in a batch. The draws are not llama.cpp's own for that seed.
"""
