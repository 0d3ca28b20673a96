package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dray/targets/api"
)

// Environment is what is kept of one environment.
type Environment struct {
	Project    string            `json:"project"`
	Name       string            `json:"name"`
	Current    string            `json:"current,omitempty"` // deployment whose release is confirmed
	Since      time.Time         `json:"since,omitzero"`
	Ended      time.Time         `json:"ended,omitzero"`   // when the last deployment ended here, in whatever way
	Stable     []string          `json:"stable,omitempty"` // deployments confirmed before it and still kept, newest first
	LastNumber int               `json:"last_number"`
	Open       string            `json:"open,omitempty"` // deployment under way or in doubt
	Fence      uint64            `json:"fence"`          // highest ever given out here
	Lease      *Lease            `json:"lease,omitempty"`
	Freeze     *api.Freeze       `json:"freeze,omitempty"`
	Approvals  []api.Approval    `json:"approvals,omitempty"`
	Serving    map[string]string `json:"serving,omitempty"` // instance → container that connections should reach
	Network    bool              `json:"network,omitempty"` // its network may exist on this host
	KeptAs     string            `json:"kept_as,omitempty"` // name of all that is kept of it on the host
	Down       *Down             `json:"down,omitempty"`    // it is being removed from this host
}

// Lease is a lease as it is kept. Until is on the host's wall clock: it is only
// read when the agent starts.
type Lease struct {
	Fence  uint64        `json:"fence"`
	Holder api.Actor     `json:"holder"`
	ID     string        `json:"id,omitempty"`
	Since  time.Time     `json:"since"`
	TTL    time.Duration `json:"ttl"`
	Until  time.Time     `json:"until"`
}

// Down is an environment's removal under way.
type Down struct {
	ID      string    `json:"id,omitempty"`
	Actor   api.Actor `json:"actor"`
	Volumes bool      `json:"volumes,omitempty"`
	Started time.Time `json:"started"`
}

// Key names an environment in the journal: PROJECT/ENV.
func Key(project, name string) string { return project + "/" + name }

// Key names the environment in the journal.
func (r *Environment) Key() string { return Key(r.Project, r.Name) }

// Deployments lists those that must be kept.
func (r *Environment) Deployments() []string {
	all := slices.Clone(r.Stable)
	for _, id := range []string{r.Current, r.Open} {
		if id != "" {
			all = append(all, id)
		}
	}
	return all
}

// Approve keeps an approval, and returns the one that holds: the first of the
// same content. One of another content under the same name gives way.
func (r *Environment) Approve(yes api.Approval) api.Approval {
	for _, before := range r.Approvals {
		if before.ReleaseRef == yes.ReleaseRef && before.Content == yes.Content {
			return before
		}
	}
	r.Approvals = slices.DeleteFunc(r.Approvals, func(before api.Approval) bool { return before.ReleaseRef == yes.ReleaseRef })
	r.Approvals = append(r.Approvals, yes)
	return yes
}

// Environment reads what is kept of an environment; a new one gets an empty
// record, and known is false.
func (t *Tx) Environment(project, name string) (r Environment, known bool, err error) {
	known, err = t.get(bucketEnvironments, Key(project, name), &r)
	if !known {
		r = Environment{Project: project, Name: name}
	}
	return r, known, err
}

// PutEnvironment keeps an environment's record.
func (t *Tx) PutEnvironment(r Environment) error {
	return t.put(bucketEnvironments, r.Key(), r)
}

// EachEnvironment calls visit for every environment, with the fault of one whose
// record can't be read: that one is broken, and the others go on.
func (t *Tx) EachEnvironment(visit func(key string, r Environment, fault error) error) error {
	return t.each(bucketEnvironments, "", func(key string, raw []byte) error {
		var r Environment
		err := json.Unmarshal(raw, &r)
		if err != nil {
			r = Environment{}
			r.Project, r.Name, _ = strings.Cut(key, "/")
			err = fmt.Errorf("reading what is kept of %s: %w", key, err)
		}
		return visit(key, r, err)
	})
}

// Change updates an environment's record in one transaction.
func (j *Journal) Change(project, name, point string, change func(t *Tx, r *Environment) error) error {
	return j.Update(point, func(t *Tx) error {
		r, _, err := t.Environment(project, name)
		if err != nil {
			return err
		}
		if err := change(t, &r); err != nil {
			return err
		}
		return t.PutEnvironment(r)
	})
}
