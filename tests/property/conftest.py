"""Properties are tried on the same examples at every run: a failure here is a failure there. `--hypothesis-seed=random`
looks further, and `--hypothesis-profile=thorough` longer."""

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    print_blob=True,
    suppress_health_check=_SLOW,
)
settings.register_profile(
    "thorough", database=None, deadline=None, max_examples=2000, print_blob=True, suppress_health_check=_SLOW
)
settings.load_profile("steady")
