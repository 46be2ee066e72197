"""Amazon Personalize over the AWS SDK."""
