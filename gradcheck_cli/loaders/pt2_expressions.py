"""A strict grammar for the shape expressions of an exported program, which torch would hand to `sympify`, an eval.

An expression is built from integers, floats, truth values, symbols (``s0``, ``Symbol('s77', integer=True)``),
``+ - * / // %``, comparisons and calls of the functions below; nothing else, and little of it.
"""

from __future__ import annotations

import ast
import re

MAX_LENGTH = 2_000
MAX_NODES = 300
MAX_INTEGER = 1 << 62
MAX_EXPONENT = 8
SYMBOL = re.compile(r"(s|u|zf|zuf)\d{1,5}")
"""torch's names for sizes: backed and unbacked integers and floats. The number sizes a loop in torch: five digits."""
FUNCTIONS = frozenset(
    {"Integer", "Float", "Rational", "Add", "Mul", "Pow", "Min", "Max", "Mod", "Abs", "floor", "ceiling"}
    | {"FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "PythonMod", "Where", "Identity", "ToFloat"}
    | {"IntTrueDiv", "FloatTrueDiv", "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat", "RoundToInt"}
    | {"Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Equality", "Unequality"}
    | {"StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan"}
)
_ASSUMPTIONS = frozenset({"integer", "positive", "nonnegative", "negative", "real", "finite", "precision"})
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def is_allowed(text: str) -> bool:
    """Whether `text` is in the grammar."""
    if len(text) > MAX_LENGTH or not text.isascii() or not text.isprintable():
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return sum(1 for _ in ast.walk(tree)) <= MAX_NODES and _is_term(tree.body)


def _is_term(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return _is_number(node.value)
    if isinstance(node, ast.Name):
        return bool(SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _OPERATORS) and _is_term(node.left) and _is_term(node.right)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, _OPERATORS) and _is_term(node.operand)
    if isinstance(node, ast.Compare):
        terms = [node.left, *node.comparators]
        return all(isinstance(op, _COMPARISONS) for op in node.ops) and all(_is_term(term) for term in terms)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_call(node.func.id, node)


def _is_call(name: str, node: ast.Call) -> bool:
    if name == "Symbol":
        return _is_symbol(node)
    if name not in FUNCTIONS or node.keywords or not all(_is_term(argument) for argument in node.args):
        return False
    return name != "Pow" or _is_small_power(node.args)


def _is_symbol(node: ast.Call) -> bool:
    if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
        return False
    name = node.args[0].value
    named = isinstance(name, str) and bool(SYMBOL.fullmatch(name))
    return named and all(
        keyword.arg in _ASSUMPTIONS and isinstance(keyword.value, ast.Constant) and type(keyword.value.value) is bool
        for keyword in node.keywords
    )


def _is_small_power(arguments: list[ast.expr]) -> bool:
    """A power with a small literal exponent and no power inside its base: it cannot grow huge when evaluated."""
    if len(arguments) != 2:
        return False
    base, exponent = arguments
    numbers = [part.value for part in ast.walk(exponent) if isinstance(part, ast.Constant)]
    inner = [part for part in ast.walk(base) if isinstance(part, ast.Name) and part.id == "Pow"]
    others = [part for part in ast.walk(exponent) if isinstance(part, ast.Call) and _name(part) != "Integer"]
    small = len(numbers) == 1 and type(numbers[0]) is int and numbers[0] <= MAX_EXPONENT
    return small and not inner and not others


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_number(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= MAX_INTEGER
    return type(value) in (float, bool)
