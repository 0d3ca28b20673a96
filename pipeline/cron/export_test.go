package cron

// FollowsClock says which of the two kinds a schedule is.
func (s *Schedule) FollowsClock() bool { return s.follows }
