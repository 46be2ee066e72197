"""Liquid as Braze renders it, as far as Braze documents it: one engine for rendering and for lint.

python-liquid does the work. This room adds what Braze has and Shopify does not: `${attributes}`, Connected Content,
`abort_message`, Content Blocks, filters. `docs/braze/liquid.md` lists what the documentation leaves open.

The room reaches nothing outside. A `Caller` that it is given answers calls, and `adapters/` has one for a service.
"""
