"""What stands between a colorizer and people: their files (`files`), a page (`server`), a study (`study`).

The page's HTML, CSS and JavaScript are in `page/`, as the browser gets them. What a colorizer is belongs to
`labkit.colorizer`.
"""
