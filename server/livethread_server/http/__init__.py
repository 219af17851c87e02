"""The HTTP door: what every operation is, how it is refused, and the operations by what they are about.

Nothing here knows what a command does: every change goes through `service`, as it does from a socket.
"""
