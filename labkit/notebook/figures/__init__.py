"""The figures of the labs, one module a lab: everything in a lab that only draws.

A function here takes data, calls `labkit.plots.show` with an alt text made from the data, and returns nothing.
"""
