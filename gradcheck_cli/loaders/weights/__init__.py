"""Bare weights: state dicts in every kind of file, read without torch and without making any object of the file's."""
