"""Grade a class: submissions read, run in a sandbox, judged outside it, and written to a gradebook.

`grade` is the whole of it. Authoring and running labs belongs to `labkit.course`; exercises belong to `labkit.checks`.
"""
