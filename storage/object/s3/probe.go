package s3

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/ghosteam/upkeep/storage/object"
)

// wideSkew is a difference of clocks worth a warning; servers refuse 15 minutes.
const wideSkew = time.Minute

// Check implements object.Checker: it asks for one page of the list, which
// proves endpoint, bucket, region, credentials and clock without effects.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.look(ctx); err != nil {
		return fmt.Errorf("check store %s: %w", s.name, err)
	}
	return nil
}

func (s *Store) look(ctx context.Context) (middleware.Metadata, error) {
	client, err := s.connect(ctx)
	if err != nil {
		return middleware.Metadata{}, err
	}
	out, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return middleware.Metadata{}, s.explain(ctx, callList, err)
	}
	return out.ResultMetadata, nil
}

// Probe implements object.Prober. It sends about 5 MiB.
func (s *Store) Probe(ctx context.Context) []object.Probe {
	var skew time.Duration
	reach := object.Try("connect", func() (string, error) {
		m, err := s.look(ctx)
		if server, ok := awsmiddleware.GetServerTime(m); ok {
			if at, ok := awsmiddleware.GetResponseAt(m); ok {
				skew = at.Sub(server)
			}
		}
		return "credentials from " + s.credentialSource(), err
	})
	probes := []object.Probe{reach}
	if errors.Is(reach.Err, object.ErrUnreachable) || errors.Is(reach.Err, object.ErrWrongPlace) || errors.Is(reach.Err, object.ErrClock) {
		return probes
	}
	probes = append(probes, clockProbe(skew))
	for _, p := range object.TryBasics(ctx, s) {
		if p.Name == "conditional put" && p.Err == nil {
			p = s.conditionProbe(ctx)
		}
		probes = append(probes, p)
	}
	probes = append(probes, s.multipartProbe(ctx), s.abortProbe(ctx))
	if s.options.ObjectLock.Mode != "" {
		probes = append(probes, object.Try("object lock", func() (string, error) { return s.lockState(ctx) }))
	}
	return probes
}

func clockProbe(skew time.Duration) object.Probe {
	p := object.Probe{Name: "clock", Detail: fmt.Sprintf("%s apart from the server's", skew.Abs().Round(time.Second))}
	if skew.Abs() > wideSkew {
		p.Err = &failure{is: object.ErrClock, text: "this machine's clock is " + p.Detail, hint: "set it (timedatectl, chrony): 15 minutes are refused"}
		p.Warn = true
	}
	return p
}

// conditionProbe asks the server itself, and not our look beforehand, whether
// it keeps two writers apart.
func (s *Store) conditionProbe(ctx context.Context) object.Probe {
	p := object.Try("conditional put", func() (string, error) {
		u := s.probeUpload()
		u.o.IfAbsent = true
		const stand = "the server cannot; a look beforehand stands in"
		if u.condition() == nil {
			return stand, nil
		}
		if _, err := u.single(ctx, []byte("1")); err != nil {
			return "", err
		}
		if u.condition() == nil {
			return stand, s.drop(ctx, u)
		}
		again := *u
		again.token, again.sum, again.bytes = strings.ToLower(rand.Text()), sha256.New(), 0
		_, err := again.single(ctx, []byte("2"))
		return "", errors.Join(refused(err), s.drop(ctx, u))
	})
	if p.Err != nil && p.Permission == "" {
		p.Warn = true
	}
	return p
}

func refused(err error) error {
	switch {
	case errors.Is(err, object.ErrExists):
		return nil
	case err != nil:
		return err
	}
	return errors.New("the server ignores If-None-Match: two writers of one object are kept apart only by a look beforehand")
}

func (s *Store) probeUpload() *upload {
	key := "upkeep-probe-" + strings.ToLower(rand.Text()[:16])
	full := s.prefix + key
	return &upload{store: s, key: key, full: &full, o: object.PutOptions{Passing: true}, token: strings.ToLower(rand.Text()), sum: sha256.New()}
}

func (s *Store) drop(ctx context.Context, u *upload) error {
	ctx, cancel := u.cleanup(ctx)
	defer cancel()
	return s.Delete(ctx, u.key)
}

func (s *Store) multipartProbe(ctx context.Context) object.Probe {
	return object.Try("multipart upload", func() (string, error) {
		u := s.probeUpload()
		note, err := s.announce(ctx, u.key)
		if err != nil {
			return "", err
		}
		id, err := u.create(ctx)
		if err != nil {
			return "", errors.Join(err, u.forsake(ctx, note, ""))
		}
		if err := s.record(ctx, note, id); err != nil {
			return "", errors.Join(err, u.forsake(ctx, note, id))
		}
		var parts []types.CompletedPart
		for i, body := range [][]byte{make([]byte, smallestPart), []byte("end")} {
			u.note(body)
			done, err := u.part(ctx, id, i+1, body)
			if err != nil {
				return "", errors.Join(err, u.forsake(ctx, note, id))
			}
			parts = append(parts, done)
		}
		_, _, err = s.growth(ctx, *u.full, id)
		if err == nil {
			_, err = u.complete(ctx, id, parts)
		}
		if err != nil {
			return "", errors.Join(err, u.forsake(ctx, note, id))
		}
		info, err := s.Stat(ctx, u.key)
		if err == nil && info.Bytes != u.bytes {
			err = fmt.Errorf("%w: the server put %d bytes together to %d", object.ErrDamaged, u.bytes, info.Bytes)
		}
		return "", errors.Join(err, s.drop(ctx, u), s.forget(ctx, note))
	})
}

func (s *Store) abortProbe(ctx context.Context) object.Probe {
	return object.Try("abort", func() (string, error) {
		u := s.probeUpload()
		note, err := s.announce(ctx, u.key)
		if err != nil {
			return "", err
		}
		id, err := u.create(ctx)
		if err != nil {
			return "", errors.Join(err, u.forsake(ctx, note, ""))
		}
		// In the way of a sweep that knows no id: it has to be found.
		if err := s.abortEmpty(ctx, *u.full, note); err != nil {
			return "", errors.Join(err, u.forsake(ctx, note, id))
		}
		if err := s.abort(ctx, *u.full, id); !errors.Is(err, object.ErrNotFound) {
			if err == nil {
				err = errors.New("the server does not list uploads that have begun: one that a crash leaves before its id is known cannot be found")
			}
			return "", errors.Join(err, s.forget(ctx, note))
		}
		return "", s.forget(ctx, note)
	})
}

// lockState asks whether the bucket can lock objects at all.
func (s *Store) lockState(ctx context.Context) (string, error) {
	client, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	none := &failure{text: "the bucket was not made for object lock", hint: "make a bucket with object lock enabled, or remove object_lock:"}
	out, err := client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &s.options.Bucket})
	if code := codeOf(err); code == "ObjectLockConfigurationNotFoundError" || code == "InvalidBucketState" {
		return "", none
	}
	if err != nil {
		return "", s.explain(ctx, callLock, err)
	}
	if out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.ObjectLockEnabled != types.ObjectLockEnabledEnabled {
		return "", none
	}
	return fmt.Sprintf("%s for %d days", s.options.ObjectLock.Mode, s.options.ObjectLock.Days), nil
}
