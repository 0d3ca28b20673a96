package journal

import (
	"slices"

	"dray/targets/api"
)

// phase is a deployment's state, with whether it is held or has voted: those
// two decide what may follow as much as the state does.
type phase string

const (
	unborn          phase = "not begun"
	preparing       phase = api.StatePreparing
	prepared        phase = api.StatePrepared
	preparedHeld    phase = api.StatePrepared + " and held"
	committing      phase = api.StateCommitting
	committingVoted phase = api.StateCommitting + " and voted"
	committingHeld  phase = api.StateCommitting + " and held"
	committed       phase = api.StateCommitted
	committedVoted  phase = api.StateCommitted + " and voted"
	committedHeld   phase = api.StateCommitted + " and held"
	reverting       phase = api.StateReverting
	reverted        phase = api.StateReverted
	discarded       phase = api.StateDiscarded
	confirmed       phase = api.StateConfirmed
)

// transitions are the legal ones. Every phase but unborn may also stay what it
// is, while something else of the deployment changes.
//
// Committed leads back to committing where another client takes the steps again
// after a crash. A vote leads to held only once the holder, who knows what the
// other hosts said, asks for it.
var transitions = map[phase][]phase{
	unborn:          {preparing},
	preparing:       {prepared, discarded},
	prepared:        {committing, preparedHeld, discarded},
	preparedHeld:    {discarded},
	committing:      {committed, committingVoted, committingHeld, confirmed, reverting},
	committingVoted: {committedVoted, committingHeld, confirmed, reverting},
	committingHeld:  {reverting},
	committed:       {committing, committedVoted, committedHeld, confirmed, reverting},
	committedVoted:  {committingVoted, committedHeld, confirmed, reverting},
	committedHeld:   {reverting},
	reverting:       {reverted},
	reverted:        {},
	discarded:       {},
	confirmed:       {},
}

func (d *Deployment) phase() phase {
	switch {
	case d == nil:
		return unborn
	case d.IsHeld():
		return phase(d.State + " and held")
	case d.HasVoted():
		return phase(d.State + " and voted")
	}
	return phase(d.State)
}

// checkTransition returns the fault of a change that the table does not know.
func checkTransition(id string, from, to phase) error {
	_, known := transitions[from]
	if known && from == to && from != unborn {
		return nil
	}
	if slices.Contains(transitions[from], to) {
		return nil
	}
	return api.Errorf(api.CodeConflict, "deployment %s is %s: it can't become %s", id, from, to)
}
