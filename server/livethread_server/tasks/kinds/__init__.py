"""The kinds of tasks that every server has, one a file."""
