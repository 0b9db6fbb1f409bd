"""Benchmarks: ours and its peers in one run, interleaved, with ratios against the goals. See design.md."""
