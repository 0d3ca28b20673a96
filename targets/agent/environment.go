package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"dray/targets/api"
)

// validName bounds what a name may hold before it becomes part of a key, a
// path or a network's name.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// envRecord is what is kept of one environment.
type envRecord struct {
	Project    string            `json:"project"`
	Name       string            `json:"name"`
	Current    string            `json:"current,omitempty"` // deployment whose release is confirmed
	Since      time.Time         `json:"since,omitzero"`
	Ended      time.Time         `json:"ended,omitzero"`   // when the last deployment ended here, in whatever way
	Stable     []string          `json:"stable,omitempty"` // deployments confirmed before it and still kept, newest first
	LastNumber int               `json:"last_number"`
	Open       string            `json:"open,omitempty"` // deployment under way or in doubt
	Fence      uint64            `json:"fence"`          // highest ever given out here
	Lease      *leaseRecord      `json:"lease,omitempty"`
	Freeze     *api.Freeze       `json:"freeze,omitempty"`
	Approvals  []api.Approval    `json:"approvals,omitempty"`
	Serving    map[string]string `json:"serving,omitempty"` // instance → container that connections should reach
	Network    bool              `json:"network,omitempty"` // its network may exist on this host
	KeptAs     string            `json:"kept_as,omitempty"` // name of all that is kept of it on the host; see names.go
	Down       *downRecord       `json:"down,omitempty"`    // it is being removed from this host
}

// environment is one environment in memory: its lease, and what works on it.
type environment struct {
	project, name string
	keptAs        string     // name of all that is kept of it on the host
	operations    operations // what works on it now

	mu    sync.Mutex
	lease *lease

	routing sync.Mutex
	routes  []Route // what the kernel was told last; nil when that is not known
}

// key names the environment in the state file; prefix is what keys of its
// lists start with.
func (e *environment) key() string { return envKey(e.project, e.name) }

func envKey(project, name string) string { return project + "/" + name }

// network is the name of the environment's network, and of all else that is
// kept of it on the host.
func (e *environment) network() string { return e.keptAs }

// environment returns the one object for an environment, made at first use.
func (a *Agent) environment(project, name string) (*environment, error) {
	for _, word := range []string{project, name} {
		if !validName.MatchString(word) {
			return nil, api.Errorf(api.CodeBadRequest, "%q is not the name of a project or an environment", word)
		}
	}
	return a.environmentOf(project, name), nil
}

func (a *Agent) environmentOf(project, name string) *environment {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := envKey(project, name)
	e := a.environments[key]
	if e == nil {
		e = &environment{project: project, name: name, keptAs: cmp.Or(a.names[key], ownName(project, name))}
		a.environments[key] = e
	}
	return e
}

// record reads what is kept of the environment; a new one gets an empty
// record.
func (t *transaction) record(e *environment) (envRecord, error) {
	r := envRecord{Project: e.project, Name: e.name}
	_, err := t.get(bucketEnvironments, e.key(), &r)
	return r, err
}

// eachEnvironment calls visit for every environment, with the fault of one whose
// record can't be read: that one is broken, and the others go on.
func (t *transaction) eachEnvironment(visit func(key string, r envRecord, fault error) error) error {
	return t.each(bucketEnvironments, "", func(key string, raw []byte) error {
		var r envRecord
		err := json.Unmarshal(raw, &r)
		if err != nil {
			r.Project, r.Name, _ = strings.Cut(key, "/")
			err = fmt.Errorf("reading what is kept of %s: %w", key, err)
		}
		return visit(key, r, err)
	})
}

func (t *transaction) putRecord(e *environment, r envRecord) error {
	return t.put(bucketEnvironments, e.key(), r)
}

// change updates the environment's record in one transaction.
func (a *Agent) change(e *environment, point string, change func(t *transaction, r *envRecord) error) error {
	return a.db.update(point, func(t *transaction) error {
		r, err := t.record(e)
		if err != nil {
			return err
		}
		if err := change(t, &r); err != nil {
			return err
		}
		return t.putRecord(e, r)
	})
}

// read returns the environment's record.
func (a *Agent) read(e *environment) (r envRecord, err error) {
	err = a.db.view(func(t *transaction) error {
		r, err = t.record(e)
		return err
	})
	return r, err
}
