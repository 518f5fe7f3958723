package prune

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// planStamp is the instant as of which a plan is made: files that come of
	// age afterwards are not part of it.
	planStamp = "20060102T150405Z"
	// planLife is how long a plan may be carried out.
	planLife = 24 * time.Hour
)

// sum is a digest of a set: of the actions in whatever order they are found.
// It adds the SHA-256 of each modulo 2^256.
type sum [4]uint64

func (s *sum) add(a action, path string, inode uint64, size, changed int64) {
	h := sha256.New()
	var head [25]byte
	head[0] = byte(a)
	binary.LittleEndian.PutUint64(head[1:], inode)
	binary.LittleEndian.PutUint64(head[9:], uint64(size))
	binary.LittleEndian.PutUint64(head[17:], uint64(changed))
	_, _ = h.Write(head[:])        // never fails
	_, _ = io.WriteString(h, path) // never fails
	var out [sha256.Size]byte
	h.Sum(out[:0])
	var one sum
	for i := range one {
		one[i] = binary.LittleEndian.Uint64(out[8*i:])
	}
	s.join(one)
}

func (s *sum) join(o sum) {
	carry := uint64(0)
	for i := range s {
		s[i], carry = bits.Add64(s[i], o[i], carry)
	}
}

// planName names what this run is about to do under a rule.
func (t *tree) planName(rule string) string {
	facts := sha256.Sum256(fmt.Appendf(nil, "%s %x %d %d %d", rule, t.digest, t.drops.files, t.packs.files, len(t.hollow)))
	return time.Unix(0, t.now).UTC().Format(planStamp) + "-" + hex.EncodeToString(facts[:12])
}

// planTime reads the instant as of which a plan was made.
func planTime(plan string, now time.Time) (time.Time, error) {
	refuse := func(why string) error {
		return jobs.WithHint(&jobs.RefusedError{Rail: "apply", Why: why + "; nothing was changed"}, "make a new plan with --dry-run and look at it")
	}
	stamp, _, ok := strings.Cut(plan, "-")
	at, err := time.Parse(planStamp, stamp)
	switch {
	case !ok || err != nil:
		return at, refuse(fmt.Sprintf("%q is not a plan of this job", plan))
	case at.After(now):
		return at, refuse(fmt.Sprintf("plan %s is of the future", plan))
	case now.Sub(at) > planLife:
		return at, refuse(fmt.Sprintf("plan %s is older than %d hours", plan, planLife/time.Hour))
	}
	return at, nil
}
