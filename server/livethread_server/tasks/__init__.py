"""Stateless tasks: what kinds there are, how one is carried out, and the life of each."""
