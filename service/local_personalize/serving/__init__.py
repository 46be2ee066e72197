"""What campaigns, recommenders and trackers of the control plane do: lists by trained models, events that change them.

- `group`: the live data of a dataset group. `lists`: a trained model's lists over it. `capacity`: TPS that scale.
- `runtime`: the runtime API for what the control plane made. `events`: the events API for it.
"""
