"""Models of the local Personalize's own: learned with numpy, judged as Amazon judges.

- `log`: interactions as arrays. `items`: what is known of items.
- `covisitation`, `item_knn`, `factorisation`, `content`: ways to say which items belong together.
- `counts`: popularity and trends. `trails`, `tastes`: what columns of items say. `model`: what is kept of a training.
- `split`, `metrics`: what a model is worth. `search`: HPO. `recipes`: which of these each recipe tries.
"""
