"""OpenAI's API over the tasks: its requests become inputs of kinds, their results and errors become its answers.

Nothing here knows how a task is carried out. What a request may hold is written down in `requests`.
"""
