"""Constrained decoding: what a model may say next, by the format's record and the schemas of a request."""
