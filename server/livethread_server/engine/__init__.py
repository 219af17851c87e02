"""The engine as the server process sees it: a façade, the process behind it, and what they say."""
