"""Measure speed as ratios, side by side in one run: `labkit bench`.

`measure` times contestants in turn and says what limits the first of them; `report` holds, stores and shows the rows;
`run` goes through the parts, which the other modules define. Everything is measured on the CPU.
"""
