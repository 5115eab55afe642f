"""The process that loads and measures: whatever native code does there, the command line has one clear sentence left.

`supervise` is the parent's side, `__main__` the child's, `wire` what they say to each other.
"""
