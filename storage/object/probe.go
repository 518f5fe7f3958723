package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Probe is the outcome of trying one thing that a store needs.
type Probe struct {
	// Name says what was tried, such as "put" or "multipart upload".
	Name string `json:"name"`
	// Detail says what was seen, such as a difference of clocks.
	Detail string `json:"detail,omitempty"`
	// Err is why it does not work; nil when it does. Warn tells that the store
	// is usable all the same.
	Err  error `json:"-"`
	Warn bool  `json:"warn,omitempty"`
	// Permission is what has to be granted, such as "s3:PutObject"; empty when
	// the reason is another.
	Permission string `json:"permission,omitempty"`
}

// Prober is implemented by stores that can be tried for real.
type Prober interface {
	// Probe tries everything that jobs will ask of the store, on objects of
	// its own which it removes again, and returns the outcomes in the order in
	// which they were tried. It tries on after a failure where that makes
	// sense.
	Probe(ctx context.Context) []Probe
}

// Try runs one probe. An error that has a method Permission() string says
// which permission is missing.
func Try(name string, do func() (detail string, err error)) Probe {
	p := Probe{Name: name}
	p.Detail, p.Err = do()
	if denied, ok := errors.AsType[interface {
		error
		Permission() string
	}](p.Err); ok {
		p.Permission = denied.Permission()
	}
	return p
}

// TryBasics probes what the contract of Store promises, on one small object
// with a name of its own at the top of the store.
func TryBasics(ctx context.Context, store Store) []Probe {
	key := "upkeep-probe-" + strings.ToLower(rand.Text()[:16])
	body := []byte("upkeep tried this store at " + time.Now().UTC().Format(time.RFC3339Nano) + "; this object may be deleted\n")
	put := func(o PutOptions) error {
		o.Passing, o.ContentType = true, "text/plain"
		_, err := store.Put(ctx, key, bytes.NewReader(body), o)
		return err
	}
	first := Try("put", func() (string, error) { return "", put(PutOptions{}) })
	probes := []Probe{first}
	if first.Err != nil {
		return probes
	}
	probes = append(probes,
		Try("head", func() (string, error) { return "", tryStat(ctx, store, key, int64(len(body))) }),
		Try("get", func() (string, error) { return "", tryGet(ctx, store, key, body) }),
		Try("list", func() (string, error) { return "", tryList(ctx, store, key) }),
		Try("conditional put", func() (string, error) {
			switch err := put(PutOptions{IfAbsent: true}); {
			case errors.Is(err, ErrExists):
				return "", nil
			case err != nil:
				return "", err
			}
			return "", errors.New("an object that exists was replaced although it must not be")
		}),
		Try("delete", func() (string, error) {
			if err := store.Delete(ctx, key); err != nil {
				return "", err
			}
			if _, err := store.Stat(ctx, key); !errors.Is(err, ErrNotFound) {
				return "", fmt.Errorf("what was deleted is still there: %w", cmpErr(err))
			}
			return "", nil
		}))
	return probes
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("it can be described")
	}
	return err
}

func tryStat(ctx context.Context, store Store, key string, want int64) error {
	info, err := store.Stat(ctx, key)
	if err == nil && info.Bytes != want {
		err = fmt.Errorf("%w: it says %d bytes instead of %d", ErrDamaged, info.Bytes, want)
	}
	return err
}

func tryGet(ctx context.Context, store Store, key string, want []byte) error {
	r, _, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: it returns other bytes than were put", ErrDamaged)
	}
	return nil
}

func tryList(ctx context.Context, store Store, key string) error {
	for info, err := range store.List(ctx, key) {
		if err != nil {
			return err
		}
		if info.Key == key {
			return nil
		}
	}
	return errors.New("what was just put is not listed")
}
