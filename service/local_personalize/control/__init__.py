"""The control plane of the local Personalize: from a schema to a campaign.

- `wire`: the shapes of calls and answers, from botocore's model. `surface`: HTTP.
- `control_plane`: every operation by name; `resources`: what the kinds of resource have in common.
- One file for each kind: `schemas`, `dataset_groups`, `datasets`, `import_jobs`, `solutions`, `solution_versions`,
  `campaigns`, `filters`, `event_trackers`, `batch_jobs`, and so on. `recipes`: what can be trained.
- `transitions`, `durations`: statuses that change with time. `workers`: who does the work behind them.
- `store`: the state in a file. `quotas`, `refused`: what is refused. `mishaps`: what goes wrong on order.
"""
