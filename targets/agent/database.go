package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Buckets of the state file.
const (
	bucketEnvironments = "environments" // PROJECT/ENV → envRecord
	bucketDeployments  = "deployments"  // id → deployment
	bucketReleases     = "releases"     // id of the deployment that brought it → api.Release
	bucketJournal      = "journal"      // id/NUMBER → journalEntry
	bucketHistory      = "history"      // PROJECT/ENV/NUMBER → api.Record
	bucketEvidence     = "evidence"     // PROJECT/ENV/id → DSSE envelope
	bucketContents     = "contents"     // PROJECT/ENV/RELEASE's number → []string: by revision, the content that came
	bucketTasks        = "tasks"        // PROJECT/ENV/NUMBER → taskRecord
	bucketHost         = "host"         // facts of this host that are made once
)

var buckets = []string{
	bucketEnvironments, bucketDeployments, bucketReleases, bucketJournal,
	bucketHistory, bucketEvidence, bucketContents, bucketTasks, bucketHost,
}

// database is the agent's durable state: one bbolt file, in which every
// commit is an fsync. Values are JSON, so that a newer agent can add fields
// and an older one ignores them.
type database struct {
	bolt *bbolt.DB
	// before and after are told the name of each commit before it begins and
	// once it is on disk. Tests end the agent there: what lies between two
	// commits is exactly what a crash can lose.
	before, after func(point string)
}

// openDatabase opens or makes the state file. It waits a short while for
// another agent to let go of it.
func openDatabase(path string, before, after func(point string)) (*database, error) {
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        10 * time.Second,
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
	d := &database{bolt: bolt, before: before, after: after}
	for _, told := range []*func(string){&d.before, &d.after} {
		if *told == nil {
			*told = func(string) {}
		}
	}
	return d, nil
}

func (d *database) close() error { return d.bolt.Close() }

// update changes the state in one transaction, durable when it returns nil.
// The point names the change for those who test crashes.
func (d *database) update(point string, change func(*transaction) error) error {
	d.before(point)
	var refused error
	err := d.bolt.Update(func(tx *bbolt.Tx) error {
		refused = change(&transaction{tx})
		return refused
	})
	if refused != nil {
		return refused
	}
	if err != nil {
		return fmt.Errorf("writing the state (%s): %w", point, err)
	}
	d.after(point)
	return nil
}

func (d *database) view(read func(*transaction) error) error {
	return d.bolt.View(func(tx *bbolt.Tx) error { return read(&transaction{tx}) })
}

// transaction reads and writes typed values.
type transaction struct{ tx *bbolt.Tx }

func (t *transaction) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

// get reads the value of key into out and reports whether there is one.
func (t *transaction) get(bucket, key string, out any) (bool, error) {
	raw := t.bucket(bucket).Get([]byte(key))
	if raw == nil {
		return false, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return false, fmt.Errorf("reading %s of %s: %w", key, bucket, err)
	}
	return true, nil
}

func (t *transaction) put(bucket, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s of %s: %w", key, bucket, err)
	}
	return t.bucket(bucket).Put([]byte(key), raw)
}

func (t *transaction) delete(bucket, key string) error {
	return t.bucket(bucket).Delete([]byte(key))
}

// add appends a value under prefix with the bucket's next number, so that the
// keys of one prefix sort by time.
func (t *transaction) add(bucket, prefix string, value any) error {
	n, err := t.bucket(bucket).NextSequence()
	if err != nil {
		return err
	}
	return t.put(bucket, fmt.Sprintf("%s/%016d", prefix, n), value)
}

// eachOf calls visit for the values whose keys start with prefix, decoded,
// oldest first.
func eachOf[T any](t *transaction, bucket, prefix string, visit func(key string, value T) error) error {
	return t.each(bucket, prefix, func(key string, raw []byte) error {
		var value T
		if err := json.Unmarshal(raw, &value); err != nil {
			return fmt.Errorf("reading %s of %s: %w", key, bucket, err)
		}
		return visit(key, value)
	})
}

// each calls visit for the values whose keys start with prefix, oldest first.
func (t *transaction) each(bucket, prefix string, visit func(key string, raw []byte) error) error {
	c := t.bucket(bucket).Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == prefix; k, v = c.Next() {
		if err := visit(string(k), v); err != nil {
			return err
		}
	}
	return nil
}
