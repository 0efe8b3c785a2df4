"""A pytest plugin that takes the tests that are known to fail apart from the others, and keeps what a failing one said.

What they wait for may never come, and a test that runs into its timeout can break the next ones of its process.
EVERSTEP_CAUSES names the file of those tests, EVERSTEP_KNOWN says whether to run them (`1`) or all others.
"""
import os

import conformance
import conformance_kills


def pytest_collection_modifyitems(config, items):
    causes = conformance.read_causes(os.environ["EVERSTEP_CAUSES"])
    known = os.environ.get("EVERSTEP_KNOWN") == "1"
    left = [item for item in items if (item.nodeid in causes) != known]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if (item.nodeid in causes) == known]


def pytest_runtest_logreport(report):
    if report.failed:
        conformance_kills.keep(report.nodeid, report.start, report.stop, report.longreprtext)
