"""A pytest plugin that takes the tests that are known to fail apart from the others.

What they wait for may never come, and a test that runs into its timeout can break the next ones of its process.
EVERSTEP_CAUSES names the file of those tests, EVERSTEP_KNOWN says whether to run them (`1`) or all others.
"""
import os

import conformance


def pytest_collection_modifyitems(config, items):
    causes = conformance.read_causes(os.environ["EVERSTEP_CAUSES"])
    known = os.environ.get("EVERSTEP_KNOWN") == "1"
    left = [item for item in items if (item.nodeid in causes) != known]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if (item.nodeid in causes) == known]
