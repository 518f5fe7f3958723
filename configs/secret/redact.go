package secret

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

// MinLength is the length in bytes of the shortest secret that a Redactor
// takes out. Shorter ones occur in ordinary text all the time, so that taking
// them out would both spoil the text and give them away.
const MinLength = 4

// Redactor takes secrets out of text, in the forms in which they usually show
// up: as they are, percent-encoded, escaped as in JSON or Go, in base64 (alone
// or inside a larger value), in hexadecimal, and line by line. Of URLs and
// connection strings it takes out the password alone too. It cannot recognize a
// secret that was encrypted, hashed, compressed, reversed or cut in two by
// other text, and none shorter than MinLength.
//
// A Redactor does not change and may be used from several goroutines.
type Redactor struct {
	patterns []string
	// byStart finds patterns by their first four bytes; maybe answers most
	// lookups without it.
	byStart map[uint32][]string
	maybe   [1 << 16 / 64]uint64
	mask    string
}

// NewRedactor returns a redactor of the given secrets. Without any it hands
// text through untouched.
func NewRedactor(texts []string) *Redactor {
	r := &Redactor{byStart: map[uint32][]string{}, patterns: forms(texts)}
	r.mask = maskFor(r.patterns)
	for _, p := range r.patterns {
		key := start(p)
		r.byStart[key] = append(r.byStart[key], p)
		bit := hash(key)
		r.maybe[bit/64] |= 1 << (bit % 64)
	}
	return r
}

// Scrub returns text with every secret replaced by Redacted. Secrets that
// overlap or touch are replaced together.
func (r *Redactor) Scrub(text string) string {
	if len(r.patterns) == 0 || len(text) < MinLength {
		return text
	}
	var out strings.Builder
	s := scan{r: r}
	s.run([]byte(text), true, func(part []byte) { out.Write(part) })
	return out.String()
}

// Writer returns a writer that scrubs what is written to it and hands it on to
// dst, whichever way the text is cut into writes.
func (r *Redactor) Writer(dst io.Writer) *ScrubWriter {
	return &ScrubWriter{dst: dst, scan: scan{r: r}}
}

// ScrubWriter scrubs a stream. It holds back what may be the beginning of a
// secret, at most the longest form of one, until more is written or Flush
// is called. It is not safe for use by several goroutines.
type ScrubWriter struct {
	dst  io.Writer
	scan scan
	held []byte
}

// Write scrubs p and hands on all that is certain. It always takes all of p;
// the error is that of dst.
func (w *ScrubWriter) Write(p []byte) (int, error) {
	if len(w.scan.r.patterns) == 0 {
		return w.dst.Write(p)
	}
	return len(p), w.advance(p, false)
}

// Flush hands on what was held back, as at the end of the text: a secret of
// which one part was written before and the other after it is not recognized.
func (w *ScrubWriter) Flush() error { return w.advance(nil, true) }

// Close is Flush. It leaves dst open.
func (w *ScrubWriter) Close() error { return w.Flush() }

func (w *ScrubWriter) advance(p []byte, final bool) error {
	text := p
	if len(w.held) > 0 {
		w.held = append(w.held, p...)
		text = w.held
	}
	var failed error
	done := w.scan.run(text, final, func(part []byte) {
		if failed == nil {
			_, failed = w.dst.Write(part)
		}
	})
	w.held = append(w.held[:0], text[done:]...)
	if final {
		w.scan.covered, w.scan.masking = 0, false
	}
	return failed
}

// scan is the state between two pieces of one text.
type scan struct {
	r *Redactor
	// covered is how many of the next bytes belong to secrets that began
	// earlier. masking tells that the byte before was part of a secret, so that
	// one mask stands for neighbors too.
	covered int
	masking bool
}

// run scrubs text and hands it to emit in parts. It returns how many bytes it
// is done with; the rest may begin a secret, and must be handed in again with
// more behind it. With final nothing is left.
func (s *scan) run(text []byte, final bool, emit func([]byte)) (done int) {
	from := 0 // the first byte that is neither emitted nor masked
	i := 0
	for ; i < len(text); i++ {
		length, undecided := s.r.at(text[i:])
		if undecided && !final {
			break
		}
		if length > s.covered {
			if s.covered == 0 && !s.masking {
				if from < i {
					emit(text[from:i])
				}
				emit([]byte(s.r.mask))
			}
			s.covered = length
		}
		if s.masking = s.covered > 0; s.masking {
			s.covered--
			from = i + 1
		}
	}
	if from < i {
		emit(text[from:i])
	}
	return i
}

// at returns the length of the longest secret that text begins with, and
// whether text is too short to tell.
func (r *Redactor) at(text []byte) (length int, undecided bool) {
	if len(text) < MinLength {
		for _, p := range r.patterns {
			if strings.HasPrefix(p, string(text)) {
				return 0, true
			}
		}
		return 0, false
	}
	key := binary.LittleEndian.Uint32(text)
	if bit := hash(key); r.maybe[bit/64]&(1<<(bit%64)) == 0 {
		return 0, false
	}
	for _, p := range r.byStart[key] {
		switch {
		case len(p) <= len(text):
			if len(p) > length && p == string(text[:len(p)]) {
				length = len(p)
			}
		case p[:len(text)] == string(text):
			undecided = true
		}
	}
	return length, undecided
}

func start(p string) uint32 {
	return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24
}

// hash spreads the keys over 16 bits (Knuth's multiplicative hashing).
func hash(key uint32) uint32 { return key * 0x9e3779b1 >> 16 }

// maskFor returns what to put in the place of secrets: Redacted, or, when a
// secret could arise from that and its neighbors, something that shares no
// character with any secret.
func maskFor(patterns []string) string {
	masks := []string{Redacted, "***", "[hidden]", "###", "███"}
	for c := '!'; c <= '~'; c++ {
		masks = append(masks, strings.Repeat(string(c), 3))
	}
	for _, mask := range masks {
		if !slices.ContainsFunc(patterns, func(p string) bool { return entangled(mask, p) }) {
			return mask
		}
	}
	return "" // every printable character is in some secret
}

// entangled tells whether p can occur in a text that has mask in it and not
// wholly beside it.
func entangled(mask, p string) bool {
	if strings.Contains(p, mask) || strings.Contains(mask, p) {
		return true
	}
	for i := 1; i < min(len(mask), len(p)); i++ {
		if mask[len(mask)-i:] == p[:i] || mask[:i] == p[len(p)-i:] {
			return true
		}
	}
	return false
}
