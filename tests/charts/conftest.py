"""Property tests here draw the same examples everywhere, take the time they need and leave no files."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")
