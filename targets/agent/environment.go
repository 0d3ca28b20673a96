package agent

import (
	"cmp"
	"regexp"
	"sync"
	"sync/atomic"

	"dray/targets/agent/journal"
	"dray/targets/api"
)

// validName bounds what a name may hold before it becomes part of a key, a
// path or a network's name.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// environment is one environment in memory: its lease, and what works on it.
type environment struct {
	project, name string
	keptAs        string     // name of all that is kept of it on the host
	operations    operations // what works on it now
	reconciling   atomic.Int32

	mu    sync.Mutex
	lease *lease

	routing sync.Mutex
	routes  []Route // what the kernel was told last; nil when that is not known
}

// key names the environment in the journal.
func (e *environment) key() string { return journal.Key(e.project, e.name) }

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
	key := journal.Key(project, name)
	e := a.environments[key]
	if e == nil {
		e = &environment{project: project, name: name, keptAs: cmp.Or(a.names[key], ownName(project, name))}
		a.environments[key] = e
	}
	return e
}

// change updates the environment's record in one transaction.
func (a *Agent) change(e *environment, point string, change func(t *journal.Tx, r *journal.Environment) error) error {
	return a.journal.Change(e.project, e.name, point, change)
}

// read returns the environment's record.
func (a *Agent) read(e *environment) (r journal.Environment, err error) {
	err = a.journal.View(func(t *journal.Tx) error {
		r, _, err = t.Environment(e.project, e.name)
		return err
	})
	return r, err
}
