package agent

// Parts are what the agent works with on its host.
type Parts struct{}
