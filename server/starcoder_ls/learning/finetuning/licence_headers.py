"""The licence that a file states in its header, recorded for the card of an adapter that is trained on it.

Decides by the SPDX tag, else by the sentences that the licences tell authors to copy.
"""

from __future__ import annotations

import re

UNKNOWN_LICENCE = "copyright notice without a known licence"

_HEADER_LINES = 40
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]{2,60}?)\s*(?:\*/|-->|$)", re.MULTILINE)
_COPYRIGHT = re.compile(r"copyright\s*(?:\(c\)|©|\d{4}|by\b)", re.IGNORECASE)
_SENTENCES = (
    (re.compile(r"GNU Affero General Public License", re.I), "AGPL"),
    (re.compile(r"GNU (?:Lesser|Library) General Public License", re.I), "LGPL"),
    (re.compile(r"GNU General Public License", re.I), "GPL"),
    (re.compile(r"Mozilla Public License", re.I), "MPL"),
    (re.compile(r"Apache License", re.I), "Apache"),
    (re.compile(r"Redistribution and use in source and binary forms", re.I), "BSD"),
    (re.compile(r"BSD (?:style )?licen[cs]e", re.I), "BSD"),
    (re.compile(r"MIT (?:style )?licen[cs]e|Permission is hereby granted, free of charge", re.I), "MIT"),
    (re.compile(r"All rights reserved|proprietary|confidential", re.I), "proprietary"),
)


def find_licence(text: str) -> str:
    """The licence named in the first 40 lines; "" if they have neither a licence nor a copyright notice."""
    header = " ".join("\n".join(text.split("\n", _HEADER_LINES)[:_HEADER_LINES]).split(" "))
    if match := _SPDX.search(header):
        return match[1].strip()
    flat = re.sub(r"[\s*#/;-]+", " ", header)
    for sentence, name in _SENTENCES:
        if sentence.search(flat):
            return name
    return UNKNOWN_LICENCE if _COPYRIGHT.search(header) else ""
