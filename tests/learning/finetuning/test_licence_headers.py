import pytest

from starcoder_ls.learning.finetuning.licence_headers import UNKNOWN_LICENCE, find_licence


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("# SPDX-License-Identifier: Apache-2.0 OR MIT\n", "Apache-2.0 OR MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only */\nint x;\n", "GPL-2.0-only"),
        ("// Licensed under the Apache\n// License, Version 2.0\n", "Apache"),
        ("# under the terms of the GNU Lesser General\n# Public License\n", "LGPL"),
        ("# Permission is hereby granted, free of charge, to any person\n", "MIT"),
        ("// Copyright 2014. All rights reserved.\n// Use is governed by a MIT style\n// license in LICENSE.\n", "MIT"),
        ("// Copyright 2009. All rights reserved.\n// Governed by a BSD-style\n// license in LICENSE.\n", "BSD"),
        ("# Copyright 2020 Shop Ltd. All rights reserved.\n", "proprietary"),
        ("# Copyright (c) 2020 A. Uthor\nx = 1\n", UNKNOWN_LICENCE),
        ("x = 1\n" * 60 + "# SPDX-License-Identifier: MIT\n", ""),
        ("def licence(): ...\n", ""),
    ],
)
def test_licence_is_read_from_the_header_only(text: str, licence: str) -> None:
    assert find_licence(text) == licence
