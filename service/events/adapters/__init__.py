"""Where events are kept, and Amazon Personalize's events over the AWS SDK."""
