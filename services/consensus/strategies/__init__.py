"""How votes become a verdict: pure functions, votes in, verdict out."""
