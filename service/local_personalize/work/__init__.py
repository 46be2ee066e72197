"""The work behind statuses, each job in a process of its own: imports, trainings, batch jobs."""
