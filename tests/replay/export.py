"""Writes the history of every workflow of the server to DIRECTORY/TYPE/ID.RUN.json: python export.py DIRECTORY"""
from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from temporalio.client import Client


async def main(directory: Path) -> None:
    client = await Client.connect(os.environ["EVERSTEP_ADDRESS"])
    count = 0
    async for found in client.list_workflows():
        history = await client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history()
        target = directory / found.workflow_type
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{found.id}.{found.run_id}.json").write_text(history.to_json())
        count += 1
    print(f"{count} histories in {directory}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
