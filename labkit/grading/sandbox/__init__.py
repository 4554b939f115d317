"""Run hostile code: kernels in namespaces, with limits and without rights.

`kernels` starts and stops them, `server` makes them, `namespaces` is the box itself.
"""
