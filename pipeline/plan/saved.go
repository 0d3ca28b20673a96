package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// SavedFormat is the format of saved plans that this dray writes and reads.
const SavedFormat = 1

// Saved is a plan as a file: enough to bring exactly what was planned, or to say
// what has moved since. It has no configuration and no secret, only what they
// come to: a plan may lie among the artefacts of a merge request.
type Saved struct {
	Format      int                    `json:"dray_plan"`
	Project     string                 `json:"project"`
	Environment string                 `json:"environment"`
	Made        Made                   `json:"made"`
	Release     pipeline.ReleaseNumber `json:"release"` // the name that it would get
	Retain      int                    `json:"retain"`
	// Images, by service or "task.NAME", are what is brought.
	Images    map[string]pipeline.ReleaseImage `json:"images"`
	Placement map[string][]string              `json:"placement"`
	Hashes    Hashes                           `json:"hashes"`
	Hosts     map[string]SavedHost             `json:"hosts"` // as they were found
	Steps     []Step                           `json:"steps"` // every instance that is touched
	Sum       string                           `json:"sum"`   // of all the above: a plan that was edited is none
}

// Made says who made a plan, when and from what.
type Made struct {
	At     time.Time       `json:"at"`
	By     pipeline.Actor  `json:"by"`
	Source pipeline.Source `json:"source"`
}

// Hashes are what a release comes to: the more they take in, the further down.
type Hashes struct {
	Configuration string `json:"configuration"` // Release.ApprovalHash
	Secrets       string `json:"secrets"`       // Release.HashExceptPlacement
	Content       string `json:"content"`       // Release.ContentHash
}

// SavedHost is what a host ran when the plan was made.
type SavedHost struct {
	Release pipeline.ReleaseNumber `json:"release"`           // of none: number 0
	Content string                 `json:"content,omitempty"` // its ContentHash
	Drift   []string               `json:"drift,omitempty"`   // "web/2 is stopped"
}

// Save makes a file's content of a plan.
func (p *Plan) Save(made Made) *Saved {
	desired := &p.in.Desired
	s := &Saved{
		Format: SavedFormat, Project: p.Project, Environment: p.Environment, Made: made,
		Release: desired.ReleaseNumber(), Retain: desired.Retain, Images: desired.Images, Placement: desired.Placement,
		Hashes: hashesOf(desired), Hosts: hostsOf(p.in.Hosts), Steps: []Step{},
	}
	for _, c := range p.Changes {
		s.Steps = append(s.Steps, c.Steps...)
	}
	return s
}

func hashesOf(r *pipeline.Release) Hashes {
	return Hashes{Configuration: r.ApprovalHash(), Secrets: r.HashExceptPlacement(), Content: r.ContentHash()}
}

func hostsOf(hosts []Observed) map[string]SavedHost {
	out := map[string]SavedHost{}
	for _, h := range hosts {
		s := SavedHost{Release: h.Current.ReleaseNumber()}
		if h.Current != nil {
			s.Content = h.Current.ContentHash()
		}
		for _, d := range h.Drift { // without what changes by itself: "stopped 2h ago"
			s.Drift = append(s.Drift, d.Instance+" is "+d.Kind)
		}
		slices.Sort(s.Drift)
		out[h.Name] = s
	}
	return out
}

// Encode returns the file.
func (s *Saved) Encode() ([]byte, error) {
	signed := *s
	signed.Sum = s.sum()
	b, err := json.MarshalIndent(signed, "", "  ")
	return append(b, '\n'), err
}

func (s *Saved) sum() string {
	bare := *s
	bare.Sum = ""
	b, err := json.Marshal(bare)
	if err != nil {
		panic("plan: a saved plan has a JSON form: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Decode reads a file that Encode made. The error says what is wrong with it, to
// stand behind the file's name.
func Decode(b []byte) (*Saved, error) {
	var head struct {
		Format int `json:"dray_plan"`
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format == 0 {
		return nil, errors.New("it is no saved plan, or not all of one")
	}
	if head.Format != SavedFormat {
		return nil, fmt.Errorf("it is a plan of format %d, and this dray reads format %d: use the dray that wrote it, or plan again", head.Format, SavedFormat)
	}
	s := &Saved{}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		return nil, fmt.Errorf("it is no whole plan: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the plan in it")
	}
	if s.Sum != s.sum() {
		return nil, errors.New("it was changed after dray had written it")
	}
	return s, nil
}

// MovedError is that a saved plan can't be carried out as it is: something it was
// made of has moved. Nothing has changed.
type MovedError struct {
	Environment string
	Reasons     []string
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("the plan does not fit %s any more:\n  - %s", e.Environment, strings.Join(e.Reasons, "\n  - "))
}

// Hint says how to go on.
func (e *MovedError) Hint() pipeline.Hint {
	return pipeline.Hint{
		Class: pipeline.Refused, Environment: e.Environment, Conclusion: "Nothing was changed.",
		Next: fmt.Sprintf("dray plan %s --out FILE, look at it, and deploy that one", e.Environment),
	}
}

// CheckRelease compares what would be brought with what was planned, as far as
// that is known without the hosts: images, configuration and secrets. Its error
// is a *MovedError.
func (s *Saved) CheckRelease(r *pipeline.Release) error {
	return s.moved(s.releaseMoved(r))
}

// Check compares a release, as it would be brought now, and the hosts with what
// was planned. Its error is a *MovedError.
func (s *Saved) Check(r pipeline.Release, hosts []Observed) error {
	reasons := append(s.releaseMoved(&r), s.hostsMoved(hosts)...)
	if len(reasons) > 0 {
		return s.moved(reasons)
	}
	switch {
	case s.Hashes.Content != r.ContentHash():
		reasons = append(reasons, "its instances would go to other hosts")
	case s.Release != r.ReleaseNumber():
		reasons = append(reasons, fmt.Sprintf("it would be release %s by now, not %s: another one was tried since", r.ReleaseNumber(), s.Release))
	}
	return s.moved(reasons)
}

func (s *Saved) moved(reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	return &MovedError{Environment: s.Environment, Reasons: reasons}
}

func (s *Saved) releaseMoved(r *pipeline.Release) []string {
	var reasons []string
	for _, key := range union(s.Images, r.Images) {
		was, is := s.Images[key].Digest, r.Images[key].Digest
		name := strings.TrimPrefix(key, "task.")
		switch {
		case was == is:
		case was == "" || is == "": // a service more or less: the configuration is another
		default:
			reasons = append(reasons, fmt.Sprintf("the image of %s is %s; planned was %s", name, phrase.Digest(is), phrase.Digest(was)))
		}
	}
	as := *r
	as.Images = s.Images // so that images are told once
	is := hashesOf(&as)
	switch {
	case is.Configuration != s.Hashes.Configuration:
		reasons = append(reasons, "the file, or a variable that it reads, says otherwise than it did")
	case is.Secrets != s.Hashes.Secrets:
		reasons = append(reasons, "a secret has another value")
	}
	if r.Retain != s.Retain {
		reasons = append(reasons, fmt.Sprintf("retain is %d; planned was %d", r.Retain, s.Retain))
	}
	return reasons
}

func (s *Saved) hostsMoved(hosts []Observed) []string {
	now := hostsOf(hosts)
	var reasons []string
	for _, name := range union(s.Hosts, now) {
		was, had := s.Hosts[name]
		is, has := now[name]
		switch {
		case !had:
			reasons = append(reasons, fmt.Sprintf("%s is a host of %s now", name, s.Environment))
		case !has:
			reasons = append(reasons, fmt.Sprintf("%s is no host of %s any more, or was left out", name, s.Environment))
		default:
			reasons = append(reasons, hostMoved(name, was, is)...)
		}
	}
	return reasons
}

func hostMoved(name string, was, is SavedHost) []string {
	var reasons []string
	switch {
	case was.Release != is.Release:
		reasons = append(reasons, fmt.Sprintf("%s runs %s; the plan was made when it ran %s", name, is.Release.Name(), was.Release.Name()))
	case was.Content != is.Content:
		reasons = append(reasons, fmt.Sprintf("%s runs another %s than it did", name, is.Release.Name()))
	}
	before, after := asSet(was.Drift), asSet(is.Drift)
	for _, drift := range union(before, after) {
		switch {
		case !before[drift]:
			reasons = append(reasons, fmt.Sprintf("%s on %s", drift, name))
		case !after[drift]:
			reasons = append(reasons, fmt.Sprintf("%s on %s no more", drift, name))
		}
	}
	return reasons
}

func asSet(list []string) map[string]bool {
	out := map[string]bool{}
	for _, s := range list {
		out[s] = true
	}
	return out
}
