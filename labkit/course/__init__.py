"""Author, build and run the labs: sources, built notebooks, releases, execution, reports, students' copies.

Grading belongs to `labkit.grading`; what a notebook imports belongs to `labkit.notebook`.
"""
