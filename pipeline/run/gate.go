package run

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// gate is the check in front of an environment.
type gate struct {
	runner   *Runner
	env      *pipeline.Environment
	from     *pipeline.Environment
	running  *pipeline.Running // in from
	evidence *pipeline.Evidence
	open     Previewer         // env, connected
	current  *pipeline.Running // in env
	expected map[string]pipeline.ReleaseImage
	silent   bool // a plan asks nobody
}

// check returns the images that may enter, or a *Refusal with every reason.
func (g *gate) check(ctx context.Context) (map[string]pipeline.ReleaseImage, *pipeline.Approval, error) {
	refusal := &Refusal{Environment: g.env.Name, Runs: g.current.Release.ReleaseNumber()}
	release := g.running.Release
	if release == nil {
		refusal.Reasons = []string{fmt.Sprintf("nothing ever ran in %s", g.from.Name)}
		refusal.Next = "dray deploy " + g.from.Name
		return nil, nil, refusal
	}
	refusal.Release.Number = release.Number // its revision is what env gives it
	switch {
	case g.running.Paused.Known():
		refusal.Reasons = append(refusal.Reasons, fmt.Sprintf("release %s failed in %s and is held there", g.running.Paused, g.from.Name))
		refusal.Next = fmt.Sprintf("dray rollback %s, or dray deploy %[1]s", g.from.Name)
	case len(g.running.Differ) > 0:
		refusal.Reasons = append(refusal.Reasons, fmt.Sprintf("the hosts of %s do not agree on what runs there: look at %s", g.from.Name, strings.Join(g.running.Differ, ", ")))
		refusal.Next = "dray status " + g.from.Name
	}
	images, missing := promoted(g.env, release)
	refusal.Reasons = append(refusal.Reasons, missing...)
	other := g.strangers(release)
	if len(other) > 0 {
		refusal.Reasons = append(refusal.Reasons, other...)
		refusal.Release = pipeline.ReleaseNumber{} // what was asked for is not what from runs
	}
	var approval *pipeline.Approval
	if p := g.env.Promotion; p != nil {
		refusal.Reasons = append(refusal.Reasons, g.evidence.Faults...)
		refusal.Reasons = append(refusal.Reasons, g.tooYoung(p)...)
		if p.Approve && len(missing) == 0 {
			next, err := g.runner.next(ctx, g.env, g.open, images, release.Number)
			if err != nil {
				return nil, nil, err
			}
			if len(other) == 0 {
				refusal.Release = next.ReleaseNumber()
			}
			// Nobody is asked for what may not enter anyway, but told at once.
			g.silent = g.silent || len(refusal.Reasons) > 0
			found, reasons, err := g.approved(ctx, p, &next)
			if err != nil {
				return nil, nil, err
			}
			approval, refusal.Reasons = found, append(refusal.Reasons, reasons...)
		}
	}
	if len(refusal.Reasons) > 0 {
		// A lock alone is no reason here: --lock-wait may outlast it.
		if g.current.Locked != "" {
			refusal.Reasons = append(refusal.Reasons, fmt.Sprintf("%s: dray unlock %s", g.current.Locked, g.env.Name))
		}
		if refusal.Next == "" {
			refusal.Next = fmt.Sprintf("dray promote %s, when that is so", g.env.Name)
		}
		return nil, nil, refusal
	}
	return images, approval, nil
}

// strangers tells which expected images are not what from runs.
func (g *gate) strangers(release *pipeline.Release) []string {
	verb := "deploy"
	if g.from.Promotion != nil {
		verb = "promote"
	}
	var out []string
	of := map[string][]string{} // what is said of one image → services and tasks
	for _, key := range slices.Sorted(maps.Keys(g.expected)) {
		have := release.Images[key]
		if have.Digest == g.expected[key].Digest {
			continue
		}
		text := fmt.Sprintf("%s is not what %s runs, which is %s: dray %s %[2]s first", phrase.Digest(g.expected[key].Digest), g.from.Name, cmp.Or(phrase.Digest(have.Digest), "(none)"), verb)
		if of[text] == nil {
			out = append(out, text)
		}
		of[text] = append(of[text], strings.TrimPrefix(key, "task."))
	}
	for i, text := range out {
		out[i] = strings.Join(of[text], ", ") + " " + text
	}
	return out
}

func (g *gate) tooYoung(p *pipeline.Promotion) []string {
	age := g.evidence.Age
	if p.MinAge == 0 || age >= p.MinAge.D() {
		return nil
	}
	return []string{fmt.Sprintf("it has been healthy in %s for %s; %s asks for %s (%s)",
		g.from.Name, pipeline.Duration(age.Round(time.Second)), g.env.Name, p.MinAge, p.At)}
}

// approved finds the approval of what would enter env, or asks for one. An
// approval is for one name and one content: what was changed since wants
// another one.
func (g *gate) approved(ctx context.Context, p *pipeline.Promotion, next *pipeline.Release) (*pipeline.Approval, []string, error) {
	name, content := next.ReleaseNumber(), next.ApprovalHash()
	var other *pipeline.Approval
	own := ""
	for i := range g.current.Approvals {
		a := &g.current.Approvals[i]
		switch {
		case a.ReleaseNumber() == name && a.Content == content:
			if own = g.selfApproved(a, p); own == "" {
				return a, nil, nil
			}
		case a.ReleaseNumber() == name:
			other = a
		}
	}
	if g.runner.Approve != nil && !g.silent && !p.PreventSelfApproval {
		yes, err := g.runner.Approve(ctx, g.env.Name, *next)
		if err != nil {
			return nil, nil, err
		}
		if yes {
			return &pipeline.Approval{ReleaseRef: pipeline.RefTo(name), Content: content, By: g.runner.Actor, At: g.runner.Now()}, nil, nil
		}
	}
	reason := fmt.Sprintf("nobody has approved it (%s): dray approve %s %s", p.At, g.env.Name, name)
	switch {
	case own != "":
		reason = own
	case other != nil:
		reason = fmt.Sprintf("what %s approved as release %s was another configuration (%s): dray approve %s %[2]s, in the checkout and with the variables that are promoted",
			other.By.Who(), name, p.At, g.env.Name)
	case p.PreventSelfApproval:
		reason = fmt.Sprintf("nobody else has approved it (%s): have another person run dray approve %s %s", p.At, g.env.Name, name)
	}
	return nil, []string{reason}, nil
}

// selfApproved says why an approval is not another person's, where the gate asks
// for that; "" where it counts. Persons are told apart by the keys that hosts saw,
// whatever they call themselves.
func (g *gate) selfApproved(a *pipeline.Approval, p *pipeline.Promotion) string {
	if !p.PreventSelfApproval {
		return ""
	}
	unknown := len(g.current.Asking) == 0
	for _, asking := range g.current.Asking {
		same, known := a.By.SamePerson(asking)
		if known && same {
			return fmt.Sprintf("%s approved it, with the key that promotes it now (%s): another person has to run dray approve %s %s",
				a.By.Who(), p.At, g.env.Name, a.ReleaseNumber())
		}
		unknown = unknown || !known
	}
	if unknown {
		return fmt.Sprintf("whether %s, who approved it, is another person can't be told (%s): set ExposeAuthInfo yes in sshd_config of the hosts, and approve again",
			a.By.Who(), p.At)
	}
	return ""
}
