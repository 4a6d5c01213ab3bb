"""A plugin of pytest: writes a line for each test to the file that OUTCOMES names."""

import os

outcomes = {}


def note(report):
    known = outcomes.get(report.nodeid)
    # A test has three reports; one that failed failed, whatever the others say.
    if report.failed or known is None or (report.skipped and known == "passed"):
        outcomes[report.nodeid] = report.outcome


def pytest_runtest_logreport(report):
    note(report)


def pytest_collectreport(report):
    if report.failed:
        note(report)


def pytest_sessionfinish():
    with open(os.environ["OUTCOMES"], "w", encoding="utf-8") as file:
        for test, outcome in outcomes.items():
            file.write(f"{outcome}\t{test}\n")
