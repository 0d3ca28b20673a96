package journal

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

const retained = 2

// past is a journal with one environment, to which deployments come.
type past struct {
	*testing.T
	j *Journal
}

func newPast(t *testing.T) past {
	t.Helper()
	j, err := Open(filepath.Join(t.TempDir(), "agent.db"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return past{t, j}
}

// deploy writes what a deployment of release n that ended then leaves in the
// journal, and forgets the one that is not retained any more.
func (p past) deploy(n int, ended time.Time) {
	p.Helper()
	id := fmt.Sprintf("d%04d", n)
	release := &api.Release{Project: "shop", Environment: "prod", Number: n, Retain: retained}
	err := p.j.Change("shop", "prod", "deploy", func(t *Tx, e *Environment) error {
		d := &Deployment{ID: id, State: api.StatePreparing, Release: release.ReleaseNumber()}
		if err := t.Begin(d, release, "begin", ""); err != nil {
			return err
		}
		for _, state := range []string{api.StatePrepared, api.StateCommitting, api.StateConfirmed} {
			if _, err := t.Amend(id, state, "", func(d *Deployment) { d.State = state }); err != nil {
				return err
			}
		}
		if e.Current != "" {
			e.Stable = slices.Insert(e.Stable, 0, e.Current)
		}
		for len(e.Stable) >= retained {
			if err := t.DropDeployment(e.Stable[retained-1]); err != nil {
				return err
			}
			e.Stable = e.Stable[:retained-1]
		}
		e.Current, e.LastNumber = id, n
		if err := t.AddContent(e.Key(), release); err != nil {
			return err
		}
		if err := t.PutStatement(e.Key(), id, &Statement{Release: d.Release, At: ended, Envelope: json.RawMessage("{}")}); err != nil {
			return err
		}
		return t.AddRecord(e, api.Record{Deployment: id, ReleaseRef: pipeline.RefTo(d.Release), Ended: ended})
	})
	if err != nil {
		p.Fatal(err)
	}
}

// keys are the keys of a bucket.
func (p past) keys(bucket string) (keys []string) {
	p.Helper()
	err := p.j.View(func(t *Tx) error {
		return t.each(bucket, "", func(key string, _ []byte) error { keys = append(keys, key); return nil })
	})
	if err != nil {
		p.Fatal(err)
	}
	return keys
}

// TestThousandDeploymentsStayBounded: what the journal has after a thousand
// deployments is bounded by what the environment retains, in every bucket.
func TestThousandDeploymentsStayBounded(t *testing.T) {
	p := newPast(t)
	for n := 1; n <= 1000; n++ {
		p.deploy(n, time.Now())
	}
	for bucket, want := range map[string]int{
		bucketHistory: historyEach * retained, bucketEvidence: evidenceEach * retained, bucketContents: contentsEach * retained,
		bucketDeployments: retained, bucketReleases: retained, bucketJournal: 4 * retained, bucketEnvironments: 1,
	} {
		if keys := p.keys(bucket); len(keys) != want {
			t.Errorf("%d values of %s are kept after 1000 deployments, want %d", len(keys), bucket, want)
		}
	}
	if keys := p.keys(bucketEvidence); keys[len(keys)-1] != "shop/prod/d1000" {
		t.Errorf("the newest statement is %s", keys[len(keys)-1])
	}
	if keys := p.keys(bucketContents); slices.Contains(keys, "shop/prod/800") || !slices.Contains(keys, "shop/prod/801") {
		t.Errorf("contents are known of %v", keys)
	}
}

// TestOldPastGoes: lines and statements that are too old go, but not those of
// releases that are kept, and not all of a quiet environment's history.
func TestOldPastGoes(t *testing.T) {
	p := newPast(t)
	long := time.Now().Add(-3 * 365 * 24 * time.Hour)
	for n := 1; n <= 30; n++ {
		p.deploy(n, long)
	}
	p.deploy(31, time.Now())
	if keys := p.keys(bucketHistory); len(keys) != newestEach*retained {
		t.Errorf("%d lines of history are left, want the newest %d", len(keys), newestEach*retained)
	}
	if keys := p.keys(bucketEvidence); !slices.Equal(keys, []string{"shop/prod/d0030", "shop/prod/d0031"}) {
		t.Errorf("left are statements %v, want those about the releases that are kept", keys)
	}
}

// TestPruneSparesWhatCantBeRead: an unreadable value is never old.
func TestPruneSparesWhatCantBeRead(t *testing.T) {
	p := newPast(t)
	err := p.j.Update("broken", func(t *Tx) error { return t.bucket(bucketHistory).Put([]byte("shop/prod/0"), []byte("{")) })
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 30; n++ {
		p.deploy(n, time.Now())
	}
	if keys := p.keys(bucketHistory); len(keys) != 31 {
		t.Errorf("%d lines of history are left, want all 31", len(keys))
	}
}
