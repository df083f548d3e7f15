"""The code in the pictures, and the recorded answers of a scripted model to actions on it."""

from __future__ import annotations

FILE = "shapes.py"
TEXT = '''"""Shapes, and what can be said of them."""

import math


class Polygon:
    """A regular polygon."""

    def __init__(self, name, sides, length, color="red"):
        self.name = name
        self.sides = sides
        self.length = length
'''
TYPED = "        self.c"
METHOD = """
    def area(self):
        result = 0
        for _ in range(self.sides):
            result += self.length**2 / (4 * math.tan(math.pi / self.sides))
        return result
"""
REPLIES = {
    "Explain": [
        "`area` computes the area of the polygon.\n\n",
        "- It cuts the polygon into `sides` equal triangles with their tips in the centre.\n",
        "- Each adds `length**2 / (4 * tan(pi / sides))` to **result**.\n\n",
        "The loop adds the same number each time, so that a product would do:\n\n",
        "```python\nreturn self.sides * self.length**2 / (4 * math.tan(math.pi / self.sides))\n```\n",
    ],
    "Simplify": [
        "```python\n    def area(self):\n"
        "        return self.sides * self.length**2 / (4 * math.tan(math.pi / self.sides))\n```"
    ],
}
ADAPTERS = {"astraios": {"path": "bigcode/astraios-7b-parallel"}}
CANDIDATES_TYPED = "        self.area = "
CANDIDATES = [["self.compute_area()", "\n"], ["sides * length**2 / 4", "\n"]]

RENAMED_FILE = "orders.py"
RENAMED = '''"""Totals of orders."""


def total(rows):
    """The sum of the prices."""
    return sum(row.price for row in rows)


def report(rows):
    print("orders:", len(rows))
    print("total:", total(rows))
'''
RENAMED_LINE, OLD_NAME, NEW_NAME = 4, "total", "total_price"
"""The definition that is renamed; the next edit is the call of the function."""
NOTEBOOK_FILE = "orders.ipynb"
NOTEBOOK_CELLS = (
    "import csv\n\n\ndef total_of_rows(table, column):\n    return sum(float(row[column]) for row in table)",
    'with open("orders.csv", newline="") as file:\n    orders = list(csv.DictReader(file))',
    "# total",
)
NOTEBOOK_TYPED = "\nfor row in ord"
