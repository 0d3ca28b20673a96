package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Buckets of the state file.
const (
	bucketEnvironments = "environments" // PROJECT/ENV → Environment
	bucketDeployments  = "deployments"  // id → Deployment
	bucketReleases     = "releases"     // id of the deployment that brought it → api.Release
	bucketJournal      = "journal"      // id/NUMBER → Entry
	bucketHistory      = "history"      // PROJECT/ENV/NUMBER → api.Record
	bucketEvidence     = "evidence"     // PROJECT/ENV/id → Statement
	bucketContents     = "contents"     // PROJECT/ENV/RELEASE's number → []string: by revision, the content that came
	bucketTasks        = "tasks"        // PROJECT/ENV/NUMBER → Run
	bucketHost         = "host"         // facts of this host that are made once
)

var buckets = []string{
	bucketEnvironments, bucketDeployments, bucketReleases, bucketJournal,
	bucketHistory, bucketEvidence, bucketContents, bucketTasks, bucketHost,
}

// Options are what tests of crashes ask for.
type Options struct {
	// Before and After are told the name of each commit, before it begins and
	// once it is on disk. Nil does nothing.
	Before, After func(point string)
	// NoSync has commits not wait for the disk: for tests, which make thousands.
	NoSync bool
}

// Journal is the open state file.
type Journal struct {
	bolt          *bbolt.DB
	before, after func(point string)
}

// Open opens or makes the state file. It waits a short while for another agent
// to let go of it.
func Open(path string, o Options) (*Journal, error) {
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        10 * time.Second,
		NoSync:         o.NoSync,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), bolt.Close())
	}
	j := &Journal{bolt: bolt, before: o.Before, after: o.After}
	for _, told := range []*func(string){&j.before, &j.after} {
		if *told == nil {
			*told = func(string) {}
		}
	}
	return j, nil
}

// Close lets go of the file.
func (j *Journal) Close() error { return j.bolt.Close() }

// Update changes the state in one transaction, durable when it returns nil. An
// error of change leaves all as it was. The point names the change for those who
// test crashes.
func (j *Journal) Update(point string, change func(*Tx) error) error {
	j.before(point)
	var refused error
	err := j.bolt.Update(func(tx *bbolt.Tx) error {
		refused = change(&Tx{tx})
		return refused
	})
	if refused != nil {
		return refused
	}
	if err != nil {
		return fmt.Errorf("writing the state (%s): %w", point, err)
	}
	j.after(point)
	return nil
}

// View reads the state as it is at one moment.
func (j *Journal) View(read func(*Tx) error) error {
	return j.bolt.View(func(tx *bbolt.Tx) error { return read(&Tx{tx}) })
}

// Tx reads and writes the records, all or none.
type Tx struct{ tx *bbolt.Tx }

func (t *Tx) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

// get reads the value of key into out and reports whether there is one.
func (t *Tx) get(bucket, key string, out any) (bool, error) {
	raw := t.bucket(bucket).Get([]byte(key))
	if raw == nil {
		return false, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return false, fmt.Errorf("reading %s of %s: %w", key, bucket, err)
	}
	return true, nil
}

func (t *Tx) put(bucket, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s of %s: %w", key, bucket, err)
	}
	return t.bucket(bucket).Put([]byte(key), raw)
}

func (t *Tx) delete(bucket, key string) error {
	return t.bucket(bucket).Delete([]byte(key))
}

// deleteAll deletes keys, unless finding them has failed.
func (t *Tx) deleteAll(bucket string, keys []string, err error) error {
	for _, key := range keys {
		err = errors.Join(err, t.delete(bucket, key))
	}
	return err
}

// decoded reads a value, and tells whether it could be read: what can't is never
// dropped for its age.
func decoded(raw []byte, into any) bool { return json.Unmarshal(raw, into) == nil }

// add appends a value under prefix with the bucket's next number, so that the
// keys of one prefix sort by time.
func (t *Tx) add(bucket, prefix string, value any) error {
	n, err := t.bucket(bucket).NextSequence()
	if err != nil {
		return err
	}
	return t.put(bucket, fmt.Sprintf("%s/%016d", prefix, n), value)
}

// eachOf calls visit for the values whose keys start with prefix, decoded,
// oldest first.
func eachOf[T any](t *Tx, bucket, prefix string, visit func(key string, value T) error) error {
	return t.each(bucket, prefix, func(key string, raw []byte) error {
		var value T
		if err := json.Unmarshal(raw, &value); err != nil {
			return fmt.Errorf("reading %s of %s: %w", key, bucket, err)
		}
		return visit(key, value)
	})
}

// each calls visit for the values whose keys start with prefix, oldest first.
func (t *Tx) each(bucket, prefix string, visit func(key string, raw []byte) error) error {
	c := t.bucket(bucket).Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == prefix; k, v = c.Next() {
		if err := visit(string(k), v); err != nil {
			return err
		}
	}
	return nil
}
