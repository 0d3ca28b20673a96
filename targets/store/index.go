package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// index is the database: what images there are, who needs them, and which
// containers stand on them.
type index struct{ db *bolt.DB }

var (
	bucketImages     = []byte("images")     // digest → Image
	bucketRetained   = []byte("retained")   // key → []digest
	bucketContainers = []byte("containers") // id → digest
	buckets          = [][]byte{bucketImages, bucketRetained, bucketContainers}
)

func openIndex(path string) (*index, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening %s (is another drayd running?): %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), db.Close())
	}
	return &index{db: db}, nil
}

func (x *index) close() error { return x.db.Close() }

func (x *index) put(bucket []byte, key string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", key, err)
	}
	return x.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put([]byte(key), b) })
}

// get gives false when there is no such key.
func (x *index) get(bucket []byte, key string, value any) (bool, error) {
	var b []byte
	err := x.db.View(func(tx *bolt.Tx) error {
		b = append(b, tx.Bucket(bucket).Get([]byte(key))...)
		return nil
	})
	if err != nil || b == nil {
		return false, err
	}
	if err := json.Unmarshal(b, value); err != nil {
		return false, fmt.Errorf("decoding the record of %s: %w", key, err)
	}
	return true, nil
}

func (x *index) remove(bucket []byte, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	return x.db.Update(func(tx *bolt.Tx) error {
		for _, k := range keys {
			if err := tx.Bucket(bucket).Delete([]byte(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// all gives every record of a bucket.
func all[T any](x *index, bucket []byte) (map[string]T, error) {
	out := map[string]T{}
	err := x.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			var t T
			if err := json.Unmarshal(v, &t); err != nil {
				return fmt.Errorf("decoding the record of %s: %w", k, err)
			}
			out[string(k)] = t
			return nil
		})
	})
	return out, err
}

// image finds an image by the digest that was pulled or by its manifest's.
func (x *index) image(d digest.Digest) (Image, error) {
	var img Image
	ok, err := x.get(bucketImages, d.String(), &img)
	if err != nil || ok {
		return img, err
	}
	images, err := all[Image](x, bucketImages)
	if err != nil {
		return Image{}, err
	}
	for _, img := range images {
		if img.Manifest == d {
			return img, nil
		}
	}
	return Image{}, fmt.Errorf("image %s is not on this host: %w", d, errdefs.ErrNotFound)
}
