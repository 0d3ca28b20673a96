package agent

import (
	"os"

	"dray/pipeline/secret"
	"dray/targets/api"
)

// redactor knows every secret's value on this host. What the agent says of a
// failure, and what it writes into journal and history, passes through it: a
// container that dies likes to print what it was given. What containers write
// themselves is kept as it is (targets/logs).
func (a *Agent) redactor() *secret.Redactor {
	r := secret.NewRedactor()
	versions, err := a.secretVersions()
	if err != nil {
		a.log.Warn("finding the secrets to be kept out of reports", "error", err)
	}
	for _, version := range versions {
		value, err := os.ReadFile(a.secretPath(version))
		if err != nil {
			a.log.Warn("reading a secret to be kept out of reports", "version", version, "error", err)
			continue
		}
		r.Add(secret.NewValue(string(value)))
	}
	return r
}

// redacted is a fault that shows no secret.
func (a *Agent) redacted(fault *api.Error) *api.Error {
	r := a.redactor()
	fault.Message, fault.Detail, fault.Logs = r.String(fault.Message), r.String(fault.Detail), r.Lines(fault.Logs)
	return fault
}

// redactReasons takes secrets out of why instances are not well: a check prints
// what it likes. Values are read only where there is something to say.
func (a *Agent) redactReasons(lists ...[]api.InstanceStatus) {
	var r *secret.Redactor
	for _, list := range lists {
		for i := range list {
			if list[i].Reason == "" {
				continue
			}
			if r == nil {
				r = a.redactor()
			}
			list[i].Reason = r.String(list[i].Reason)
		}
	}
}
