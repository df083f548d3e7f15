"""A notebook in a real server process, through standard input and output."""

from __future__ import annotations

import json

from harness import FAKE_SERVER_COMMAND, INLINE_COMPLETION, async_test, wait_until_ready
from notebook_client import change_notebook, complete_at_end, open_notebook, text_content
from starcoder_ls.lsp.client import start

DEFINITION = "def monthly_revenue(orders): ..."


@async_test
async def test_model_reads_the_other_cells_after_they_were_changed() -> None:
    engine = {"replies": {"def yearly_revenue": ["yearly_revenue", "\n"], DEFINITION: ["monthly_revenue", "\n"]}}
    async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)]) as client:
        await client.initialize(capabilities=INLINE_COMPLETION)
        await wait_until_ready(client)
        open_notebook(client, [("text", "# Revenue"), ("a", DEFINITION), ("b", "total = ")])
        (item,) = await complete_at_end(client, "b", "total = ")
        assert item["insertText"] == "monthly_revenue"
        change_notebook(client, **text_content("a", 2, {"text": "def yearly_revenue(): ..."}))
        change_notebook(client, **text_content("b", 2, {"text": "total = (\n    "}))
        (item,) = await complete_at_end(client, "b", "total = (\n    ")
        assert item["insertText"].startswith("yearly_revenue")
        assert await client.shutdown() == 0
