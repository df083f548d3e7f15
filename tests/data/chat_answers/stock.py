"""Stock of a small shop."""

from __future__ import annotations

import csv
from dataclasses import dataclass


@dataclass
class Item:
    name: str
    count: int
    price: float


def total_value(items: list[Item]) -> float:
    total = 0.0
    for index in range(len(items)):
        item = items[index]
        total = total + item.count * item.price
    return total


class Shelf:
    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def scarce(self, limit: int) -> list[str]:
        names = []
        for item in self.items:
            if item.count < limit:
                names.append(item.name)
        names.sort()
        return names


def read_items(path: str) -> list[Item]:
    items = []
    with open(path, newline="") as file:
        for row in csv.reader(file):
            if len(row) == 3:
                items.append(Item(row[0], int(row[1]), float(row[2])))
    return items
