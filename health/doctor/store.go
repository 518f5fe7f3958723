package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// Shelf is a configured store.
type Shelf struct {
	Name, Kind string
	// Open opens it and returns the secrets that it sees, also beside an error.
	Open func() (object.Store, []string, error)
}

// Reached is how a store is.
type Reached struct {
	Name, Kind  string
	Reachable   bool
	TookSeconds float64
	FreeBytes   *int64 `json:",omitempty"`
	Error       string `json:",omitempty"`
}

// storePatience is how long one store may take.
const storePatience = 10 * time.Second

// Stores returns the step that looks whether the stores can be reached. It
// writes nothing to them.
func Stores(list []Shelf, secrets *Secrets) Step {
	return Step{Name: "stores", Title: "stores", Within: storePatience + time.Second, Look: func(ctx context.Context) (Found, error) {
		reached, errs := each(ctx, storePatience, list, func(ctx context.Context, s Shelf) (Reached, error) {
			began := time.Now()
			r, err := s.reach(ctx, secrets)
			r.Name, r.Kind, r.TookSeconds = s.Name, s.Kind, seconds(time.Since(began))
			return r, err
		})
		f := Found{Facts: reached}
		well := 0
		for i := range reached {
			r := &reached[i]
			if r.Name, r.Kind = list[i].Name, list[i].Kind; errs[i] != nil {
				r.Error = line(errs[i].Error())
				f.Findings = append(f.Findings, Finding{
					ID: "store:" + r.Name, Severity: jobs.Critical, Text: fmt.Sprintf("the store %s (%s) cannot be used: %s", r.Name, r.Kind, r.Error),
					Means: "backups to it fail, and those in it cannot be restored", Next: "upkeep validate --online",
				})
				f.Lines = append(f.Lines, fmt.Sprintf("%s (%s): %s", r.Name, r.Kind, r.Error))
				continue
			}
			r.Reachable = true
			well++
			free := ""
			if r.FreeBytes != nil {
				free = ", " + humanize.IBytes(uint64(max(*r.FreeBytes, 0))) + " free"
			}
			f.Lines = append(f.Lines, fmt.Sprintf("%s (%s): reached in %.0f ms%s", r.Name, r.Kind, r.TookSeconds*1000, free))
		}
		f.Summary = "none are configured"
		if len(list) > 0 {
			f.Summary = fmt.Sprintf("%d of %d reached", well, len(list))
		}
		return f, nil
	}}
}

// nothing is a key that no job gives to an object.
const nothing = "upkeep-doctor/nothing"

// reach asks a store for something that is not there, and whether it would take
// something.
func (s Shelf) reach(ctx context.Context, secrets *Secrets) (Reached, error) {
	store, seen, err := s.Open()
	secrets.Add(seen...)
	if err != nil {
		return Reached{}, fmt.Errorf("open it: %w", err)
	}
	if _, err := store.Stat(ctx, nothing); err != nil && !errors.Is(err, object.ErrNotFound) {
		return Reached{}, fmt.Errorf("ask it: %w", err)
	}
	if c, ok := store.(object.Checker); ok {
		if err := c.Check(ctx); err != nil {
			return Reached{}, err
		}
	}
	r := Reached{}
	if sp, ok := store.(object.Spacious); ok {
		if free, err := sp.FreeBytes(ctx); err == nil {
			r.FreeBytes = &free
		}
	}
	return r, nil
}
