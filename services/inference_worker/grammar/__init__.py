"""Constrained decoding: what a model may say next, from the format's record and the schemas of the request."""
