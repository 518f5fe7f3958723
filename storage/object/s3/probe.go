package s3

import (
	"context"
	"github.com/ghosteam/upkeep/storage/object"
)

func (s *Store) Check(ctx context.Context) error          { return nil }
func (s *Store) Probe(ctx context.Context) []object.Probe { return nil }
