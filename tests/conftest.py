"""Settings of all tests."""

from hypothesis import settings

# The same examples in every run, however slow the machine is: no test fails by chance.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")
