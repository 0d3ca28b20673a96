package environment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// Lock keeps deployments out of an environment, and says what is true then.
func (o *Opener) Lock(ctx context.Context, env *pipeline.Environment, freeze api.SetFreeze) (string, error) {
	command, until := "dray lock "+env.Name, "until dray unlock "+env.Name
	if d := freeze.For.D(); d > 0 {
		command += " --for " + freeze.For.String()
		until = "until " + time.Now().Add(d).Format(time.DateTime)
	}
	command = fmt.Sprintf("%s --reason %q", command, freeze.Reason)
	present, err := o.Frozen(ctx, env)
	if err != nil {
		return "", err
	}
	if len(present.Absent) == len(env.Hosts) {
		return "", pipeline.WithHint(fmt.Errorf("dray was never on a host of %s, so none can keep its lock", env.Name), pipeline.Hint{
			Environment: env.Name, Conclusion: "Nothing was changed.", Next: "dray host setup " + strings.Join(env.Hosts, " ") + ", then " + command,
		})
	}
	replaces := ""
	for _, f := range present.Freezes {
		if !freeze.Replace && (f.By.User != o.Actor.User || f.Reason != freeze.Reason) {
			return "", alreadyFrozen(env.Name, f, command+" --replace")
		}
		replaces = fmt.Sprintf(" It replaces %s's lock%s: %s.", f.By.Who(), f.UntilText(), f.Reason)
	}
	if freeze.Replace {
		command += " --replace"
	}
	return o.tellAll(ctx, env, notice{
		done:    fmt.Sprintf("%s takes no deployment %s: %s.%s", env.Name, until, freeze.Reason, replaces),
		state:   "locked",
		partly:  func(told, _ string) string { return "A deployment that leaves out " + told + " gets in." },
		command: command,
		absent:  present.Absent,
		tell: func(ctx context.Context, on *api.EnvironmentClient) error {
			_, err := on.Freeze(ctx, freeze)
			return err
		},
	})
}

// alreadyFrozen refuses to replace a lock unless that is asked for.
func alreadyFrozen(env string, f *api.Freeze, command string) error {
	return pipeline.WithHint(errors.New(f.Text(env)), pipeline.Hint{
		Class: pipeline.Refused, Environment: env, Conclusion: "That lock stays as it is.", Next: command + " takes its place",
	})
}

// Unlock lets deployments in again, and says what is true then.
func (o *Opener) Unlock(ctx context.Context, env *pipeline.Environment) (string, error) {
	present, err := o.Frozen(ctx, env)
	if err != nil {
		return "", err
	}
	if len(present.Freezes) == 0 && len(present.Missed) == 0 {
		return env.Name + " was not locked.", nil
	}
	return o.tellAll(ctx, env, notice{
		done:    env.Name + " takes deployments again.",
		state:   "unlocked",
		partly:  func(_, others string) string { return "If it was locked, deployments to " + others + " are refused." },
		command: "dray unlock " + env.Name,
		tell: func(ctx context.Context, on *api.EnvironmentClient) error {
			if err := on.Unfreeze(ctx); !isNotFound(err) {
				return err
			}
			return nil // it was not locked
		},
	})
}

// notice is something that all hosts of an environment are to know.
type notice struct {
	tell    func(context.Context, *api.EnvironmentClient) error
	done    string                           // what is true once all know
	state   string                           // what hosts are that know
	partly  func(told, others string) string // what is true while only some know
	command string                           // tells all again
	absent  Silent                           // hosts that dray was never on, where they matter
}

// tellAll tells as many hosts as it can. Less than all is a failure.
func (o *Opener) tellAll(ctx context.Context, env *pipeline.Environment, n notice) (string, error) {
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) (struct{}, error) {
		return struct{}{}, n.tell(ctx, h.Client.Environment(o.Project.Name, env.Name))
	})
	if err != nil {
		return "", err
	}
	missed = append(missed, n.absent...)
	if len(missed) == 0 {
		return n.done, nil
	}
	told, others := phrase.List(NamesOf(answers)), phrase.List(missed.Names())
	return "", pipeline.WithHint(fmt.Errorf("%s is %s on %s only: %s could not be told", env.Name, n.state, told, others), pipeline.Hint{
		Environment: env.Name, Detail: strings.Join(missed.Notes(), "\n"), Conclusion: n.partly(told, others),
		Next: n.command + ", once " + others + " can be reached",
	})
}
