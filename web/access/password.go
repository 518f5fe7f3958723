package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// checksAtOnce bounds how many processors compare passwords.
	checksAtOnce = 2
	// rightFor is for how long a password that was right is not compared again;
	// mostRight bounds how many are remembered.
	rightFor  = 5 * time.Minute
	mostRight = 1000
	// usualCost is the cost of what is compared for names that are no user's,
	// when there is no user to go by.
	usualCost = 12
)

// passwords compares passwords. Those that were right a short while ago are
// remembered by a keyed hash in memory, so that a page of many requests does
// not cost as many comparisons.
type passwords struct {
	turns chan struct{}
	key   [sha256.Size]byte
	mu    sync.Mutex
	right map[[sha256.Size]byte]time.Time // until when
	// none are hashes of no password by their cost.
	none map[int][]byte
}

func newPasswords() *passwords {
	p := &passwords{turns: make(chan struct{}, checksAtOnce), right: map[[sha256.Size]byte]time.Time{}, none: map[int][]byte{}}
	_, _ = rand.Read(p.key[:]) // never fails
	return p
}

// mark is what is remembered of a right password. It holds the hash of the
// configuration too, so that another one is compared anew.
func (p *passwords) mark(name, password, hash string) [sha256.Size]byte {
	h := hmac.New(sha256.New, p.key[:])
	for _, part := range []string{name, password, hash} {
		sum := sha256.Sum256([]byte(part))
		_, _ = h.Write(sum[:]) // never fails
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (p *passwords) remembers(mark [sha256.Size]byte, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, known := p.right[mark]
	return known && now.Before(until)
}

func (p *passwords) remember(mark [sha256.Size]byte, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.right) >= mostRight {
		clear(p.right)
	}
	p.right[mark] = now.Add(rightFor)
}

// nobody is a hash that no password fits, as costly as those of the users.
func (p *passwords) nobody(users map[string]User) []byte {
	cost := 0
	for _, u := range users {
		if c, err := bcrypt.Cost([]byte(u.Hash.Reveal())); err == nil {
			cost = max(cost, c)
		}
	}
	if cost == 0 {
		cost = usualCost
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.none[cost] == nil {
		var random [32]byte
		_, _ = rand.Read(random[:]) // never fails
		hash, err := bcrypt.GenerateFromPassword(random[:], cost)
		if err != nil {
			return nil
		}
		p.none[cost] = hash
	}
	return p.none[cost]
}

// byPassword lets a user of the configuration in. It takes as long for a name
// that is no user's.
func (d *Door) byPassword(r *http.Request, terms *Terms, from origin) (Pass, error) {
	name, password, sent := r.BasicAuth()
	user, known := terms.Users[name]
	mark := d.passwords.mark(name, password, user.Hash.Reveal())
	pass := Pass{
		Identity: Identity{Name: name, Role: user.Role, From: from.text(), Means: ByPassword},
		still: func(context.Context) bool {
			now, known := d.o.Terms().Users[name]
			return known && now.Hash.Reveal() == user.Hash.Reveal() && now.Role == user.Role
		},
	}
	if known && sent && d.passwords.remembers(mark, time.Now()) {
		return pass, nil
	}
	if wait := d.limits.wait(from.bucket(), time.Now()); wait > 0 {
		return Pass{}, &limitedError{wait}
	}
	select {
	case d.passwords.turns <- struct{}{}:
		defer func() { <-d.passwords.turns }()
	case <-r.Context().Done():
		return Pass{}, context.Cause(r.Context())
	}
	// Others had their turns meanwhile.
	if known && sent && d.passwords.remembers(mark, time.Now()) {
		return pass, nil
	}
	if wait := d.limits.wait(from.bucket(), time.Now()); wait > 0 {
		return Pass{}, &limitedError{wait}
	}
	hash := []byte(user.Hash.Reveal())
	if !known {
		hash = d.passwords.nobody(terms.Users)
	}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	if err != nil || !known || !sent || user.Role == runner.RoleNone {
		d.limits.failed(from.bucket(), time.Now())
		return Pass{}, errWrong
	}
	d.passwords.remember(mark, time.Now())
	return pass, nil
}
