package s3

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ghosteam/upkeep/storage/object"
)

var tokenPattern = regexp.MustCompile(`^[a-z2-7]{16}$`)

// Unfinished implements object.Sweeper: it finds uploads by their notes. An
// upload without a note of ours is not ours, wherever it goes.
func (s *Store) Unfinished(ctx context.Context, before time.Time) ([]object.Unfinished, error) {
	var found []object.Unfinished
	for item, err := range s.list(ctx, s.prefix+notes) {
		if err != nil {
			return nil, fmt.Errorf("look for unfinished uploads in store %s: %w", s.name, err)
		}
		name := strings.TrimPrefix(aws.ToString(item.Key), s.prefix+notes)
		token, ok := strings.CutSuffix(name, ".json")
		written := aws.ToTime(item.LastModified).UTC()
		if !ok || !tokenPattern.MatchString(token) || !written.Before(before) {
			continue
		}
		u, ok, err := s.unfinished(ctx, token, written)
		if err != nil {
			return nil, fmt.Errorf("look for unfinished uploads in store %s: %w", s.name, err)
		}
		if ok && u.Modified.Before(before) {
			found = append(found, u)
		}
	}
	return found, nil
}

// unfinished describes what a note is about.
func (s *Store) unfinished(ctx context.Context, token string, written time.Time) (object.Unfinished, bool, error) {
	n, ok, err := s.readNote(ctx, token)
	if errors.Is(err, object.ErrNotFound) {
		return object.Unfinished{}, false, nil
	}
	if err != nil || !ok {
		return object.Unfinished{}, false, err
	}
	u := object.Unfinished{Name: token, Dir: path.Dir(strings.TrimPrefix(n.Key, s.prefix)), Modified: written}
	if n.Upload != "" {
		bytes, last, err := s.growth(ctx, n.Key, n.Upload)
		if err != nil && !errors.Is(err, object.ErrNotFound) {
			return object.Unfinished{}, false, err
		}
		u.Bytes = bytes
		if last.After(written) {
			u.Modified = last
		}
	}
	return u, true, nil
}

// Discard implements object.Sweeper: it aborts the upload that a note is about
// and removes the note, unless the upload has grown since.
func (s *Store) Discard(ctx context.Context, u object.Unfinished) error {
	if err := s.discard(ctx, u); err != nil {
		return fmt.Errorf("discard the upload %s in store %s: %w", u.Name, s.name, err)
	}
	return nil
}

func (s *Store) discard(ctx context.Context, u object.Unfinished) error {
	if !tokenPattern.MatchString(u.Name) {
		return errors.New("it is not the name of one")
	}
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.options.Bucket, Key: s.noteKey(u.Name)})
	if err = s.explain(ctx, callGet, err); errors.Is(err, object.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now, ok, err := s.unfinished(ctx, u.Name, aws.ToTime(head.LastModified).UTC())
	if err != nil || !ok || now.Modified.After(u.Modified) {
		return err
	}
	n, ok, err := s.readNote(ctx, u.Name)
	if errors.Is(err, object.ErrNotFound) || err == nil && !ok {
		return nil
	}
	if err != nil {
		return err
	}
	if n.Upload == "" {
		err = s.abortEmpty(ctx, n.Key, n)
	} else if err = s.abort(ctx, n.Key, n.Upload); errors.Is(err, object.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	return s.forget(ctx, n)
}
