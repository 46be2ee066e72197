"""The runtime API: GetRecommendations and GetPersonalizedRanking."""
