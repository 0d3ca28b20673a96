package agent

import (
	"strings"

	"dray/targets/agent/journal"
)

// What is kept of an environment outside the journal (its network, bridge and
// rules, its volumes, the output of tasks and of failed releases) is kept under
// one name, which no other environment of the host has: ownName makes another
// name of every pair of project and environment. Containers have names for
// people, PROJECT-ENV-SERVICE-INDEX, which two environments may share: they are
// found by their labels.

// ownName is the name that is an environment's alone: "shop-prod", or
// "my-shop~prod" where one of the two words has a "-" itself. Neither word can
// hold a "~", so no two pairs share a name: one without "~" has one "-", which
// parts the words.
func ownName(project, name string) string {
	if strings.Contains(project+name, "-") {
		return project + "~" + name
	}
	return project + "-" + name
}

// joinedName is what older agents called everything of an environment, and what
// containers' names begin with.
func joinedName(project, name string) string { return project + "-" + name }

// keepNames gives the environments that an older agent has deployed the joined
// name to keep: their containers, networks and data stay where they are. They
// are those that have been deployed and have no name noted. Such an agent let
// only one environment of each joined name be deployed.
func (a *Agent) keepNames() error {
	a.names = map[string]string{} // by the environment's key
	older := map[string]journal.Environment{}
	err := a.journal.View(func(t *journal.Tx) error {
		return t.EachEnvironment(func(key string, r journal.Environment, fault error) error {
			switch {
			case fault != nil:
				a.log.Error("an environment is broken; it is left as it is", "environment", key, "error", fault)
			case r.KeptAs != "":
				a.names[key] = r.KeptAs
			case r.LastNumber > 0:
				r.KeptAs = joinedName(r.Project, r.Name)
				older[key], a.names[key] = r, r.KeptAs
			}
			return nil
		})
	})
	if err != nil || len(older) == 0 {
		return err
	}
	return a.journal.Update("names", func(t *journal.Tx) error {
		for _, r := range older {
			if err := t.PutEnvironment(r); err != nil {
				return err
			}
		}
		return nil
	})
}
