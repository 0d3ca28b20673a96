package journal

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"dray/targets/api"
)

// Bounds of an environment's past, for each release that it retains. What belongs
// to a release that is kept stays whatever its age.
const (
	historyEach  = 100 // lines of history
	evidenceEach = 10  // statements
	contentsEach = 100 // release numbers whose contents are known

	historyAge  = 2 * 365 * 24 * time.Hour // older lines go, but for the newest newestEach
	newestEach  = 10
	evidenceAge = 365 * 24 * time.Hour
)

// DefaultRetain is how many releases are kept where the release does not say.
const DefaultRetain = 5

// Retain is how many releases an environment keeps.
func (t *Tx) Retain(e *Environment) (int, error) {
	current, err := t.Release(e.Current)
	if err != nil || current == nil {
		return DefaultRetain, err
	}
	return cmp.Or(max(current.Retain, 0), DefaultRetain), nil
}

// prunePast forgets of an environment's history, statements and contents what is
// beyond the bounds, so that none of them grows without end.
func (t *Tx) prunePast(e *Environment) error {
	retain, err := t.Retain(e)
	if err != nil {
		return err
	}
	kept := e.Deployments()
	return errors.Join(
		t.prune(bucketHistory, e.Key()+"/", bounds{
			most: historyEach * retain, fewest: newestEach * retain,
			isOld: func(raw []byte) bool {
				var line api.Record
				return decoded(raw, &line) && time.Since(line.Ended) > historyAge
			},
			stays: func(string) bool { return false },
		}),
		t.prune(bucketEvidence, e.Key()+"/", bounds{
			most: evidenceEach * retain, fewest: retain,
			isOld: func(raw []byte) bool {
				var s Statement
				return decoded(raw, &s) && !s.At.IsZero() && time.Since(s.At) > evidenceAge
			},
			stays: func(deployment string) bool { return slices.Contains(kept, deployment) },
		}),
		t.pruneContents(e, e.LastNumber-contentsEach*retain),
	)
}

// pruneContents forgets the contents of the release numbers up to last, but for
// those of releases that are kept.
func (t *Tx) pruneContents(e *Environment, last int) error {
	kept := map[int]bool{}
	for _, id := range e.Deployments() {
		d, err := t.Deployment(id)
		if err != nil {
			return err
		}
		if d != nil {
			kept[d.Release.Number] = true
		}
	}
	prefix := e.Key() + "/"
	var drop []string
	err := t.each(bucketContents, prefix, func(key string, _ []byte) error {
		n, err := strconv.Atoi(strings.TrimPrefix(key, prefix))
		if err == nil && n <= last && !kept[n] {
			drop = append(drop, key)
		}
		return nil
	})
	return t.deleteAll(bucketContents, drop, err)
}

// bounds say what of a list stays: at most most of it, and of what is old the
// newest fewest.
type bounds struct {
	most, fewest int
	isOld        func(raw []byte) bool
	stays        func(name string) bool // in any case
}

// prune drops the oldest values under prefix that are beyond the bounds. Keys sort
// by age: only as many values are read as are old.
func (t *Tx) prune(bucket, prefix string, b bounds) error {
	var keys []string
	old, reading := 0, true
	err := t.each(bucket, prefix, func(key string, raw []byte) error {
		keys = append(keys, key)
		if reading = reading && b.isOld(raw); reading {
			old++
		}
		return nil
	})
	var drop []string
	for i, key := range keys {
		newer := len(keys) - i - 1
		if (newer >= b.most || i < old && newer >= b.fewest) && !b.stays(strings.TrimPrefix(key, prefix)) {
			drop = append(drop, key)
		}
	}
	return t.deleteAll(bucket, drop, err)
}
