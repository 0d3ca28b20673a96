package agent

import (
	"context"
	"time"

	"dray/targets/agent/access"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// approve records a person's yes to a release. Asking twice keeps the first;
// one for another content under the same name takes its place.
func (a *Agent) approve(e *environment, by api.Actor, req api.Approve) (*api.Approval, error) {
	yes := api.Approval{ReleaseRef: req.ReleaseRef, Content: req.Content, By: by, At: time.Now().Round(0)}
	err := a.change(e, "approve", func(_ *journal.Tx, r *journal.Environment) error {
		yes = r.Approve(yes)
		return nil
	})
	if err == nil {
		a.announce(e, "%s approves %s", yes.By.Who(), releaseWord(yes.ReleaseNumber()))
	}
	return &yes, err
}

// approvalSeen is the approval that a confirmation brings, as this host knows it.
// Nobody can hand in another's:
//
//	given on this host before        as it was given, with whom the host saw
//	in the deployer's own name       on the spot; it takes the right to approve
//	in the name of somebody else     the deployer's word: without an identity
func (a *Agent) approvalSeen(ctx context.Context, e *environment, claimed *api.Approval, by api.Actor) (*api.Approval, error) {
	if claimed == nil {
		return nil, nil
	}
	r, err := a.read(e)
	if err != nil {
		return nil, err
	}
	for _, kept := range r.Approvals {
		if kept.ReleaseRef == claimed.ReleaseRef && kept.Content == claimed.Content {
			return &kept, nil
		}
	}
	seen := *claimed
	seen.By.Identity = api.Identity{}
	if !onTheSpot(&seen, by) {
		return &seen, nil
	}
	if _, role := access.Of(ctx); !role.May(api.RightApprove, e.project, e.name) {
		return nil, access.Forbidden(role, api.RightApprove, e.name, "approving "+releaseWord(seen.ReleaseNumber()))
	}
	seen.By.Identity = by.Identity
	return &seen, nil
}

// onTheSpot tells whether who deploys gives the approval.
func onTheSpot(yes *api.Approval, by api.Actor) bool {
	return yes.By.User == by.User && yes.By.Machine == by.Machine
}
