"""Models of the local Personalize's own: learned with numpy, judged as Amazon judges.

- `rows`, `log`: interactions as they came, and as arrays. `columns`: what is known of items, as numbers.
- `neighbours`, `factorisation`, `content`: ways to say which items belong together.
- `counts`: popularity and trends. `trails`, `tastes`: what columns of items say. `model`: what is kept of a training.
- `split`, `metrics`: what a model is worth. `search`: HPO. `trainer`: which of these each kind of recipe tries.
"""
