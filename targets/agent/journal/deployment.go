package journal

import (
	"errors"
	"fmt"
	"time"

	"dray/targets/api"
)

// Deployment is what is kept of one deployment. Once it is confirmed it stands
// for its release: Containers says what runs for it.
type Deployment struct {
	ID         string            `json:"id"`
	Kind       string            `json:"kind"`
	State      string            `json:"state"`
	Actor      api.Actor         `json:"actor"`
	Host       string            `json:"host"` // this host's name in the file
	Fence      uint64            `json:"fence"`
	Release    api.ReleaseNumber `json:"release"`
	From       string            `json:"from,omitempty"` // deployment of the release before; "" for none
	FromNumber api.ReleaseNumber `json:"from_number,omitzero"`
	Started    time.Time         `json:"started"`
	Ended      time.Time         `json:"ended,omitzero"`
	Containers map[string]string `json:"containers,omitempty"` // instance → container
	Labels     map[string]string `json:"labels,omitempty"`     // labels of an older agent's on these containers → fingerprint
	Done       []string          `json:"done,omitempty"`       // keys of steps
	StopFirst  []string          `json:"stop_first,omitempty"` // instances whose old container had to stop before the new one started
	Received   int64             `json:"received,omitempty"`
	Already    bool              `json:"already,omitempty"`
	Reason     string            `json:"reason,omitempty"`  // why it goes back
	Healthy    time.Time         `json:"healthy,omitzero"`  // since when all of it was healthy, at the confirmation
	Vote       *api.Confirm      `json:"vote,omitempty"`    // it may be confirmed elsewhere: nothing here decides any more
	VotedBy    api.Actor         `json:"voted_by,omitzero"` // who said what Vote carries
	Held       *api.Held         `json:"held,omitempty"`    // it failed, and stays as it is until it is told to go back
	Archive    bool              `json:"archive,omitempty"` // logs of its removed containers are kept
}

// Changes says that the deployment may have changed what serves.
func (d *Deployment) Changes() bool {
	return d.State == api.StateCommitting || d.State == api.StateCommitted || d.State == api.StateReverting
}

// HasVoted says that the deployment waits for what all hosts decide.
func (d *Deployment) HasVoted() bool {
	return d.Vote != nil && (d.State == api.StateCommitting || d.State == api.StateCommitted)
}

// IsHeld says that the deployment failed and stays as it is.
func (d *Deployment) IsHeld() bool {
	return d.Held != nil && d.IsOpen() && d.State != api.StateReverting
}

// IsOpen says that the deployment has not come to its end.
func (d *Deployment) IsOpen() bool {
	return d.Changes() || d.State == api.StatePreparing || d.State == api.StatePrepared
}

// Entry is one line of a deployment's journal, for people who look for what
// happened.
type Entry struct {
	Time  time.Time `json:"time"`
	Point string    `json:"point"`
	Text  string    `json:"text,omitempty"`
}

// Begin keeps a new deployment with its release. One of the same id is a fault.
func (t *Tx) Begin(d *Deployment, release *api.Release, point, text string) error {
	before, err := t.Deployment(d.ID)
	if err != nil {
		return err
	}
	if before != nil {
		return fmt.Errorf("deployment %s is known already", d.ID)
	}
	if err := checkTransition(d.ID, unborn, d.phase()); err != nil {
		return err
	}
	return errors.Join(t.put(bucketReleases, d.ID, release), t.writeDeployment(d, point, text))
}

// Amend changes a deployment, with a line of its journal, and returns it as it
// is now. A change that the table of transitions does not know is an error, and
// so is a deployment that is not known.
func (t *Tx) Amend(id, point, text string, change func(d *Deployment)) (*Deployment, error) {
	d, err := t.Deployment(id)
	if err != nil || d == nil {
		return nil, Missing(err, "deployment %s", id)
	}
	before := d.phase()
	change(d)
	if err := checkTransition(id, before, d.phase()); err != nil {
		return nil, err
	}
	return d, t.writeDeployment(d, point, text)
}

func (t *Tx) writeDeployment(d *Deployment, point, text string) error {
	if err := t.put(bucketDeployments, d.ID, d); err != nil {
		return err
	}
	return t.add(bucketJournal, d.ID, Entry{Time: time.Now().Round(0), Point: point, Text: text})
}

// Deployment reads one; nil when there is none.
func (t *Tx) Deployment(id string) (*Deployment, error) {
	d := &Deployment{}
	if found, err := t.get(bucketDeployments, id, d); err != nil || !found {
		return nil, err
	}
	return d, nil
}

// Release reads the release of a deployment; nil when there is none.
func (t *Tx) Release(deployment string) (*api.Release, error) {
	r := &api.Release{}
	if found, err := t.get(bucketReleases, deployment, r); err != nil || !found {
		return nil, err
	}
	return r, nil
}

// EachRelease calls visit for every release that is kept, with the deployment
// that brought it.
func (t *Tx) EachRelease(visit func(deployment string, r api.Release) error) error {
	return eachOf(t, bucketReleases, "", visit)
}

// DropDeployment forgets a deployment with its release and its journal. The
// history stays.
func (t *Tx) DropDeployment(id string) error {
	var lines []string
	err := t.each(bucketJournal, id+"/", func(key string, _ []byte) error {
		lines = append(lines, key)
		return nil
	})
	return errors.Join(t.deleteAll(bucketJournal, lines, err), t.delete(bucketDeployments, id), t.delete(bucketReleases, id))
}

// Missing is the fault of a record that another one names and that is not there,
// or err, where that is why.
func Missing(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return api.Errorf(api.CodeInternal, "the state of this host has lost the "+format, args...)
}
