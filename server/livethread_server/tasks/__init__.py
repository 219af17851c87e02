"""Stateless tasks: what kinds there are, the life of each task, and the model as a kind may use it.

Nothing here knows threads, stores, sockets or HTTP.
"""
