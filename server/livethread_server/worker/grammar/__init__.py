"""The grammar process, and its own door to llama.cpp: whether a grammar may be used is tried out here."""
