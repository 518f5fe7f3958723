package local

import (
	"context"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/storage/object"
)

// Probe implements object.Prober.
func (s *Store) Probe(ctx context.Context) []object.Probe {
	probes := []object.Probe{object.Try("connect", func() (string, error) { return s.dir, s.Check(ctx) })}
	if probes[0].Err != nil {
		return probes
	}
	probes = append(probes, object.TryBasics(ctx, s)...)
	return append(probes, object.Try("space", func() (string, error) {
		free, err := s.FreeBytes(ctx)
		return humanize.IBytes(uint64(max(0, free))) + " free", err
	}))
}
