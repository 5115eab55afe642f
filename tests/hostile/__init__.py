"""Files that strangers may send: a corpus of broken and hostile ones, and a fuzzer of honest ones.

Every payload is benign: it would create a file named ``marker`` beside the file that carries it.
"""
