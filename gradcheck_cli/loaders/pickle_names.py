"""The names that a pickle of any protocol looks up, for messages, never for trust."""

from __future__ import annotations

import pickletools

from gradcheck_cli.loaders.pickle_tree import MAX_BYTES, MAX_OPCODES


def global_names(data: bytes) -> list[str]:
    """The dotted names that any pickle, of any protocol, looks up; as many as can be read, for a message only."""
    names: list[str] = []
    strings: list[str] = []
    memo: dict[int, str] = {}
    last = ""
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data[:MAX_BYTES])):
            if count >= MAX_OPCODES:
                break
            if opcode.name in ("GLOBAL", "INST"):
                names.append(str(argument).replace(" ", ".", 1))
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(strings[-2:]))
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = last
            elif isinstance(argument, int) and opcode.name.endswith("PUT"):
                memo[argument] = last
            elif isinstance(argument, int) and opcode.name.endswith("GET"):
                strings.append(memo.get(argument, "?"))
            elif isinstance(argument, str):
                last = argument
                strings.append(argument)
    except Exception:  # a broken tail: what was found so far is the answer
        return list(dict.fromkeys(names))
    return list(dict.fromkeys(names))
