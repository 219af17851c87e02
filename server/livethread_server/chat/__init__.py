"""The terminal client behind ``livethread chat``: a program like any other that uses `livethread`.

It must never know the server beside it.
"""
