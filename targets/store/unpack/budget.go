package unpack

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
	// ErrTooLarge is the end of a layer that holds more than is allowed.
	ErrTooLarge = errors.New("layer holds more than is allowed")
	// ErrNoRoom is the end of a pull that unpacks to more than the disk has.
	ErrNoRoom = errors.New("the image unpacks to more than the disk has free")
	// ErrMemory is the end of a layer that takes more memory than is allowed.
	ErrMemory = errors.New("layer takes more memory than unpacking may use")
)

// Amount counts what layers hold.
type Amount struct {
	Stream  int64 `json:"stream,omitempty"`  // bytes of their tars
	Claimed int64 `json:"claimed,omitempty"` // bytes of their files: a sparse one claims more than it sends
	Entries int64 `json:"entries,omitempty"` // files, folders, links
	Names   int64 `json:"names,omitempty"`   // bytes of names and attributes, implicit folders among them; the child's memory grows with it
	Folders int64 `json:"folders,omitempty"` // bytes of the names of folders that are reported; the parent's memory grows with it
}

// budget is what one pull may unpack, all its layers together: they are
// unpacked beside each other, so a bound for each would be passed by the sum.
type budget struct {
	mu   sync.Mutex
	left Amount
}

func (b *budget) remaining() Amount {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left
}

// Share is what one layer takes of its pull's budget.
type Share struct {
	of   *budget
	took Amount
}

// take takes an amount, or says what there is too much of.
func (s *Share) take(a Amount) error {
	b := s.of
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case min(a.Stream, a.Claimed, a.Entries, a.Names, a.Folders) < 0:
		return fmt.Errorf("a negative amount: %w", errProtocol)
	case a.Stream > b.left.Stream, a.Claimed > b.left.Claimed:
		return ErrNoRoom
	case a.Entries > b.left.Entries:
		return fmt.Errorf("too many files: %w", ErrTooLarge)
	case a.Names > b.left.Names:
		return fmt.Errorf("too many bytes of names and attributes: %w", ErrTooLarge)
	case a.Folders > b.left.Folders:
		return fmt.Errorf("too many folders without an entry of their own: %w", ErrTooLarge)
	}
	b.left.add(a, -1)
	s.took.add(a, 1)
	return nil
}

// GiveBack returns what a layer took that was not unpacked after all.
func (s *Share) GiveBack() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.left.add(s.took, 1)
	s.took = Amount{}
}

func (a *Amount) add(b Amount, sign int64) {
	a.Stream += sign * b.Stream
	a.Claimed += sign * b.Claimed
	a.Entries += sign * b.Entries
	a.Names += sign * b.Names
	a.Folders += sign * b.Folders
}
