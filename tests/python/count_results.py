"""Prints PASSED FAILED from a JUnit file of pytest."""

import sys
import xml.etree.ElementTree as tree

suites = list(tree.parse(sys.argv[1]).iter("testsuite"))
tests, failures, errors, skipped = (sum(int(suite.get(key, 0)) for suite in suites)
                                    for key in ("tests", "failures", "errors", "skipped"))
print(tests - failures - errors - skipped, failures + errors)
