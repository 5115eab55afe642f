"""The command line: parse, call, write, exit. It judges nothing, opens no model and imports no torch."""
