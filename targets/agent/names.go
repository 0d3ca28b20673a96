package agent

import "strings"

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

// namesKept says, in the bucket of the host, that the environments of an older
// agent have been given the names under which it keeps them.
const namesKept = "names"

// keepNames gives the environments that an older agent has deployed the joined
// name to keep: their containers, networks and data stay where they are. Such
// an agent let only one environment of each joined name be deployed.
func (a *Agent) keepNames() error {
	var done bool
	err := a.db.view(func(t *transaction) (err error) {
		_, err = t.get(bucketHost, namesKept, &done)
		return err
	})
	if err != nil || done {
		return err
	}
	return a.db.update("names", func(t *transaction) error {
		taken := map[string]string{}
		keep := map[string]envRecord{}
		err := eachOf(t, bucketEnvironments, "", func(key string, r envRecord) error {
			joined := joinedName(r.Project, r.Name)
			if r.LastNumber == 0 || joined == ownName(r.Project, r.Name) {
				return nil // nothing of it is on the host, or that is its name
			}
			if other := taken[joined]; other != "" { // no older agent did that
				a.log.Error("two environments are kept under one name; the first keeps it", "name", joined, "first", other, "second", key)
				return nil
			}
			taken[joined], r.KeptAs = key, joined
			keep[key] = r
			return nil
		})
		if err != nil {
			return err
		}
		for key, r := range keep {
			if err := t.put(bucketEnvironments, key, r); err != nil {
				return err
			}
		}
		return t.put(bucketHost, namesKept, true)
	})
}

// loadNames reads the names that environments keep from an older agent.
func (a *Agent) loadNames() error {
	a.names = map[string]string{}
	return a.db.view(func(t *transaction) error {
		return eachOf(t, bucketEnvironments, "", func(key string, r envRecord) error {
			if r.KeptAs != "" {
				a.names[key] = r.KeptAs
			}
			return nil
		})
	})
}
