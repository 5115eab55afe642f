"""A diagnosis made visible: one module a format, joined in `interface`. Judges nothing, measures nothing."""
