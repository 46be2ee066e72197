"""From CSV to a campaign, and to a better one: data, resources in Personalize, versions, batch jobs.

A leaf of the command line: no replica loads it. DuckDB comes with the extra `pipeline`.
"""
