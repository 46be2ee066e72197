"""The budget: the slots of `PERSONALIZE_TPS`, the governors that hand them out, and the queue of waiting callers."""
