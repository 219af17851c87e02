"""The engine process: tokens in, tokens and text out. It knows nothing of threads' messages."""
