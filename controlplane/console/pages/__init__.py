"""One file per page, named like its template: reads services and returns the page as plain facts.

Nothing here knows HTML, forms or cookies, and nothing here decides. Start reading at `situation.py`.
"""
