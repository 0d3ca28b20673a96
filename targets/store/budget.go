package store

import (
	"errors"
	"fmt"
	"sync"
)

// maxName is the longest name of a file, or target of a link, that a layer may
// hold: PATH_MAX. No longer one can be made. maxDepth is how many folders may be
// above one another: making a file walks through all of them.
const (
	maxName  = 4096
	maxDepth = 256
)

var (
	// errTooLarge is the end of a layer that holds more than is allowed.
	errTooLarge = errors.New("layer holds more than is allowed")
	// errNoRoom is the end of a pull that unpacks to more than the disk has.
	errNoRoom = errors.New("the image unpacks to more than the disk has free")
)

// amount counts what layers hold.
type amount struct {
	stream  int64 // bytes of their tars
	claimed int64 // bytes of their files: a sparse one claims more than it sends
	entries int64 // files, folders, links
	names   int64 // bytes of names, folders that are only implied among them; what is kept in memory grows with it
}

// budget is what one pull may unpack, all its layers together: they are
// unpacked beside each other, so a bound for each would be passed by the sum.
type budget struct {
	mu   sync.Mutex
	left amount
}

// share is what one layer takes of a budget.
type share struct {
	of   *budget
	took amount
}

// take takes an amount, or says what there is too much of.
func (s *share) take(a amount) error {
	b := s.of
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case a.stream > b.left.stream, a.claimed > b.left.claimed:
		return errNoRoom
	case a.entries > b.left.entries:
		return fmt.Errorf("too many files: %w", errTooLarge)
	case a.names > b.left.names:
		return fmt.Errorf("too many bytes of names: %w", errTooLarge)
	}
	b.left.add(a, -1)
	s.took.add(a, 1)
	return nil
}

// giveBack returns what a layer took that was not unpacked after all.
func (s *share) giveBack() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.left.add(s.took, 1)
	s.took = amount{}
}

func (a *amount) add(b amount, sign int64) {
	a.stream += sign * b.stream
	a.claimed += sign * b.claimed
	a.entries += sign * b.entries
	a.names += sign * b.names
}
