"""The explorer as its readers meet it: a real network, a real browser.

A package, so that the browser and the network are gone before other tests begin: Playwright keeps an event loop running
in the thread of the tests for as long as it lives, and those that bring their own loop cannot have one beside it.
"""
